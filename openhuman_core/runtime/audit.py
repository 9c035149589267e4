"""The trail for operators: one JSON line for each write that was begun, on disk before its answer goes out.

A line holds no secret and no personal data: the method, the template of its route, and what became of the call.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, get_cancelled_exc_class, to_thread

from openhuman_core.backend.files import sync_directory
from openhuman_core.backend.times import rfc3339
from openhuman_core.errors import Cancelled, Configuration, CoreError, InternalError
from openhuman_core.runtime.logging import log
from openhuman_core.runtime.redaction import without_tokens

if TYPE_CHECKING:
    from openhuman_core.runtime.invoke import Invocation


class Audit:
    """The file that lines are appended to, by many processes at once; it may be moved away at any time.

    A write that was made cannot be taken back when its line cannot be written: the line is kept, and no other write
    begins before it is on disk.
    """

    def __init__(self, path: Path, profile: str) -> None:
        self._path = path
        self._profile = profile
        self._unwritten = b""
        self._lock = threading.Lock()

    async def check(self) -> None:
        """Raise `Configuration` where the next line could not be written."""
        try:
            await to_thread.run_sync(self._append, b"")
        except OSError as problem:
            raise Configuration(
                f"the audit file {self._path} cannot be written: {problem.strerror}; nothing was done",
                hint="Make it writable, or name another with --audit.",
            ) from problem

    @asynccontextmanager
    async def line(self, invocation: Invocation) -> AsyncIterator[dict[str, Any]]:
        """Append the line of a call when the block ends, however it does; the block adds to it how the call ended."""
        method = invocation.method
        line: dict[str, Any] = {
            "time": rfc3339(time.time()),
            "profile": self._profile,
            "method": method.name,
            "route": str(method.route) if method.route else None,
            "effect": method.effect.value,
            "idempotencyKey": invocation.key,
            "outcome": InternalError.kind,
        }
        try:
            yield line
        except CoreError as failure:
            line["outcome"] = failure.kind
            raise
        except get_cancelled_exc_class():
            line |= {"outcome": Cancelled.kind, "acted": invocation.sending.effect}
            raise
        finally:
            line["ms"] = round((time.perf_counter() - invocation.accepted) * 1000, 3)
            line["requestId"] = invocation.sending.request_id
            with CancelScope(shield=True):
                await self._write(line)

    async def _write(self, line: dict[str, Any]) -> None:
        try:
            await to_thread.run_sync(self._append, json.dumps(without_tokens(line)).encode() + b"\n")
        except OSError as problem:
            log.error("audit line not written", exc_info=problem)

    def _append(self, line: bytes) -> None:
        with self._lock:
            self._unwritten += line
            has_lines, is_new = bool(self._unwritten), not self._path.exists()
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
            try:
                while self._unwritten:  # the rest of a line that a full disk cut off comes when there is room
                    self._unwritten = self._unwritten[os.write(file, self._unwritten) :]
                if has_lines and stat.S_ISREG(os.fstat(file).st_mode):
                    os.fsync(file)
            finally:
                os.close(file)
            if is_new:
                sync_directory(self._path.parent)
