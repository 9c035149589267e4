"""Read and write the wire without ever blocking the event loop."""

from __future__ import annotations

import os
import select
import stat

import anyio
import anyio.lowlevel

READ_SIZE = 65_536
# How often it is looked whether the reader of a socket or a terminal is gone.
LOOK_SECONDS = 0.5


class Wire:
    """The peer's bytes, on the descriptors that `Streams` took.

    They are polled before each use rather than made non-blocking: that flag belongs to the open file, which a terminal
    or the parent shares. Files and devices that epoll refuses are always ready by poll's word.
    """

    def __init__(self, source: int, target: int) -> None:
        self._input, self._output = source, target
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._input, select.POLLIN)
        self._writable.register(self._output, select.POLLOUT)

    async def read(self) -> bytes:
        """Give the next bytes, and none at the end of input."""
        while True:
            if self._readable.poll(0):
                await anyio.lowlevel.checkpoint()  # a peer that never pauses must not starve the answers
            else:
                await anyio.wait_readable(self._input)
            try:
                return os.read(self._input, READ_SIZE)
            except BlockingIOError:  # the parent made it non-blocking, and someone else took the bytes
                await anyio.wait_readable(self._input)
            except OSError:  # a socket whose other end is gone, or what was never to be read, has no more to say
                return b""

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
            if not self._writable.poll(0):
                await anyio.wait_writable(self._output)
            try:
                # As much as can be written without blocking once poll says so.
                view = view[os.write(self._output, view[: select.PIPE_BUF]) :]
            except BlockingIOError:
                await anyio.wait_writable(self._output)
