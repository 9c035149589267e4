"""Read and write the wire without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anyio
import anyio.lowlevel

READ_SIZE = 65_536
# As much as any user's pipe may hold (pipe(7)): the fewer times an answer waits for its reader, the sooner it is out.
PIPE_BYTES = 2**20
# How often it is looked whether the reader of a socket or a terminal is gone.
LOOK_SECONDS = 0.5


class Wire:
    """The peer's bytes, on the descriptors that `Streams` took.

    The flag that makes one non-blocking belongs to the open file, which a terminal or the parent shares, so it is left
    alone: input is polled before it is read, and how answers are written depends on what stdout is. Files and devices
    that epoll refuses are always ready by poll's word.
    """

    def __init__(self, source: int, target: int) -> None:
        self._input, self._output = source, target
        self._readable = select.poll()
        self._readable.register(self._input, select.POLLIN)
        self._listening = self._may_widen = False
        self._put = self._writer()

    async def read(self) -> bytes:
        """Give the next bytes, and none at the end of input."""
        while True:
            if self._readable.poll(0):
                await anyio.lowlevel.checkpoint()  # a peer that never pauses must not starve the answers
            else:
                await self._arrival()
            try:
                return os.read(self._input, READ_SIZE)
            except BlockingIOError:  # the parent made it non-blocking, and someone else took the bytes
                continue
            except OSError:  # a socket whose other end is gone, or what was never to be read, has no more to say
                return b""

    async def _arrival(self) -> None:
        """Wait for input. anyio would take a fifth of a round trip more: it stops listening after each arrival."""
        loop = asyncio.get_running_loop()
        self._arrived = loop.create_future()
        if not self._listening:
            self._listening = True
            loop.add_reader(self._input, self._notice)
        await self._arrived

    def _notice(self) -> None:
        """Take what the event loop says, for as long as there is something to be read, whether anybody reads or not."""
        if self._arrived.done():
            self._listening = False
            asyncio.get_running_loop().remove_reader(self._input)
        elif self._readable.poll(0):  # else it was read since the loop looked
            self._arrived.set_result(None)

    async def closed(self) -> None:
        """Wait until the reader is gone."""
        if stat.S_ISFIFO(os.fstat(self._output).st_mode):
            await anyio.wait_readable(self._output)  # the write end of a pipe is never readable, but tells of errors
            return
        hung_up = select.poll()
        hung_up.register(self._output, 0)  # a socket's other direction may well be readable
        while not hung_up.poll(0):  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(LOOK_SECONDS)

    async def write(self, data: bytes) -> None:
        """Write all of `data`; raises `OSError` when the reader is gone."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._put(view) :]
            except BlockingIOError:
                self._widen()
                await anyio.wait_writable(self._output)

    def _widen(self) -> None:
        """Let a pipe hold more once it was full; not before, since all of a user's pipes may hold 64 MiB together."""
        if self._may_widen:
            self._may_widen = False
            with suppress(OSError):  # the user has too many such pipes
                fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def _writer(self) -> Callable[[memoryview], int]:
        """Give what writes as much as there is room for, and says how much; it raises `BlockingIOError` for none."""
        kind = os.fstat(self._output).st_mode
        if stat.S_ISSOCK(kind):
            return partial(_send, socket.socket(fileno=self._output))
        if stat.S_ISFIFO(kind):
            with suppress(OSError):  # another user's, or a system without /proc
                # The same pipe as an open file of our own, which may well be non-blocking.
                self._output = os.open(f"/proc/self/fd/{self._output}", os.O_WRONLY | os.O_NONBLOCK)
                self._may_widen = True
                return partial(os.write, self._output)
        writable = select.poll()
        writable.register(self._output, select.POLLOUT)
        return partial(_write_little, writable, self._output)


def _send(peer: socket.socket, view: memoryview) -> int:
    return peer.send(view, socket.MSG_DONTWAIT)


def _write_little(writable: select.poll, target: int, view: memoryview) -> int:
    if not writable.poll(0):
        raise BlockingIOError
    return os.write(target, view[: select.PIPE_BUF])  # no more is sure not to block once poll says so
