"""The trail for operators: one JSON line for each write that was begun, on disk before its answer goes out.

A process that is killed leaves no line of what it had under way; the journal holds those that have a key as unknown.
A line holds no secret and no personal data: the method, the template of its route, and what became of the call.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, get_cancelled_exc_class, to_thread

from openhuman_core.backend.times import rfc3339
from openhuman_core.errors import Cancelled, Configuration, CoreError, InternalError
from openhuman_core.files import sync_directory
from openhuman_core.runtime.logging import log
from openhuman_core.runtime.redaction import covered, without_tokens

if TYPE_CHECKING:
    from openhuman_core.runtime.invoke import Invocation

# With less room on the disk than a line may need no write begins.
ROOM_BYTES = 64 * 1024
# Where the file ended when a line was cut off, and how much of the line was written.
NOT_CUT = (-1, 0)
_PLAIN_ID = re.compile(r"[0-9a-fA-F-]{1,64}|[a-z]{1,16}[_-][0-9a-fA-F]{1,64}")


class Audit:
    """The file that lines are appended to, by many processes at once; it may be moved away at any time.

    A write that was made cannot be taken back when its line cannot be written: the line is kept, and no other write
    begins before it is on disk.
    """

    def __init__(self, path: Path, profile: str) -> None:
        self._path = path
        self._profile = profile
        self._begun: dict[int, dict[str, Any]] = {}
        self._unwritten: list[bytes] = []
        self._cut = NOT_CUT
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
            "idempotencyKey": invocation.params.wire().get("idempotencyKey", invocation.key),  # journal_resolve's param
            "outcome": InternalError.kind,
        }
        self._begun[id(invocation)] = line
        try:
            yield line
        except CoreError as failure:
            line["outcome"] = failure.kind
            raise
        except get_cancelled_exc_class():
            line |= {"outcome": Cancelled.kind, "acted": invocation.sending.effect}
            raise
        finally:
            if self._begun.pop(id(invocation), None) is not None:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._write, line, invocation)

    def abandon(self, invocation: Invocation, failure: CoreError) -> None:
        """Append the line of a call that does not end, if it was begun, before its caller is told of `failure`."""
        line = self._begun.pop(id(invocation), None)
        if line is not None:
            line |= {"outcome": failure.kind, "acted": invocation.sending.effect}
            self._write(line, invocation)

    def _write(self, line: dict[str, Any], invocation: Invocation) -> None:
        line["ms"] = round((time.perf_counter() - invocation.accepted) * 1000, 3)
        line["requestId"] = invocation.sending.request_id
        for name in ("idempotencyKey", "requestId"):  # others' words; a plain id stays whole
            if not _PLAIN_ID.fullmatch(line[name] or ""):
                line[name] = covered(line[name])
        without_tokens(line, invocation.secrets)
        try:
            self._append(json.dumps(line).encode() + b"\n")
        except OSError as problem:
            log.error("audit line not written", exc_info=problem, extra={"line": line})

    def _append(self, line: bytes) -> None:
        with self._lock:
            if line:
                self._unwritten.append(line)
            is_new = not self._path.exists()
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                if os.fstatvfs(file).f_bavail * os.fstatvfs(file).f_frsize < ROOM_BYTES:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                fcntl.flock(file, fcntl.LOCK_EX)  # another's line looks torn while it is being written
                self._write_whole(file)
            finally:
                os.close(file)
            if is_new:
                sync_directory(self._path.parent)

    def _write_whole(self, file: int) -> None:
        """Write what is unwritten; one that a full disk cut off is ended where it stands last, else written again."""
        while self._unwritten:
            line, size = self._unwritten[0], os.fstat(file).st_size
            end, begun = self._cut
            if end == size:
                data = line[begun:]
            else:
                is_torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                data = b"\n" * is_torn + line
            missing = len(data) - os.write(file, data)
            if missing:
                self._cut = (size + len(data) - missing, max(0, len(line) - missing))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
            del self._unwritten[0]
            self._cut = NOT_CUT
