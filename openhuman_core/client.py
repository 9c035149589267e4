"""Spawn the daemon and call it from Python."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.buffered import BufferedByteReceiveStream

from openhuman_core.protocol.messages import first_id

MAX_ANSWER_BYTES = 64 * 2**20


class CallFailed(Exception):
    """The daemon answered with an error: `code`, the message, and `data`, which always holds `kind`."""

    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Client:
    """Calls to one daemon; any number may wait at the same time, and whichever waits reads for all."""

    def __init__(self, stdin: ByteSendStream, stdout: ByteReceiveStream) -> None:
        self._stdin = stdin
        self._stdout = BufferedByteReceiveStream(stdout)
        self._next_id = 0
        self._answers: dict[int, dict[str, Any] | None] = {}  # of the calls that wait
        self._sizes: dict[int, int] = {}  # of the requests without an answer, whether anybody waits or not
        self._reading = anyio.Lock()

    async def call(self, method: str, **params: Any) -> Any:
        """Make one call and give its result.

        Raises `CallFailed`, `EndOfStream` when the daemon is gone, and `ValueError` for a result that Python cannot
        hold, which says nothing against the call.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()  # else the request is counted, and never sent
        self._next_id += 1
        call_id = self._next_id
        request = json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}).encode() + b"\n"
        self._answers[call_id] = None
        self._sizes[call_id] = len(request)
        try:
            await self._stdin.send(request)
            while (answer := self._answers[call_id]) is None:
                async with self._reading:
                    if self._answers[call_id] is None:
                        await self._read()
        except (anyio.BrokenResourceError, anyio.IncompleteRead) as problem:
            raise anyio.EndOfStream from problem
        finally:
            del self._answers[call_id]
        if "unread" in answer:
            raise ValueError("the call was answered with what Python cannot hold") from answer["unread"]
        if "error" in answer:
            raise CallFailed(**answer["error"])
        return answer["result"]

    async def _read(self) -> None:
        line = await self._stdout.receive_until(b"\n", MAX_ANSWER_BYTES)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as problem:  # it may be the answer to another call than the one that reads
            message = {"id": first_id(line.decode()), "unread": problem}
        call_id = message.get("id")
        if call_id is None and "error" in message:  # of what is sent here only a frame over the limit is answered so
            call_id = max(self._sizes, key=self._sizes.__getitem__, default=None)
        self._sizes.pop(call_id, None)
        if call_id in self._answers:  # whoever asked may have stopped waiting, and progress has no id
            self._answers[call_id] = message


@asynccontextmanager
async def connect(
    *flags: str, env: Mapping[str, str] | None = None, command: Sequence[str] = (sys.executable, "-m", "openhuman_core")
) -> AsyncIterator[Client]:
    """Run `command serve` with `flags` as a child, and give a client of it; at the end its input is closed."""
    async with await anyio.open_process([*command, "serve", *flags], env=env, stderr=None) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child that was given pipes has them")
        yield Client(process.stdin, process.stdout)
        await process.stdin.aclose()
        async for _ in process.stdout:
            pass  # answers that nobody waits for any more; unread ones would keep the child from ending
        await process.wait()
