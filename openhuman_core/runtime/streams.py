"""Take stdin and stdout for the wire before anything else can: what others print becomes a log record.

Nothing but the standard library is imported here, since whatever is imported later may print.
"""

from __future__ import annotations

import os
import sys
from threading import Thread

from openhuman_core.errors import Configuration
from openhuman_core.runtime import redaction
from openhuman_core.runtime.logging import log

READ_SIZE = 65_536
# A line longer than this is told in parts. It is covered as a whole before: half of a secret looks like none.
MAX_TEXT = 4096
# More than this of a line is not kept; such a piece ends where a list of values has a comma, or between words.
MAX_LINE = 2**18
# How long the end waits for children that still hold the descriptor.
LAST_WORDS_SECONDS = 0.2


class Streams:
    """The peer's two descriptors, `input` and `output`, under numbers that nobody else knows.

    From now on the process and its children read an empty stdin, and what they write to stdout is read by a thread of
    its own, so that a print never waits for the event loop, and is logged as `stray_stdout`. Raises `Configuration`
    where one of the two is closed.
    """

    def __init__(self) -> None:
        try:
            os.fstat(1)  # or the copy of 0 would take its place
            _fill(2)
            self.input, self.output = os.dup(0), os.dup(1)
        except OSError as problem:
            raise Configuration("stdin or stdout is closed", hint="Start the daemon with both open.") from problem
        _put(os.open(os.devnull, os.O_RDONLY), 0)
        read_end, write_end = os.pipe()
        _put(write_end, 1)
        if sys.stdout is not None:
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        self._reader = Thread(target=_log_lines, args=(read_end,), daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Log what was printed last; from now on stdout is stderr."""
        if sys.stdout is not None:
            sys.stdout.flush()
        os.dup2(2, 1)
        self._reader.join(LAST_WORDS_SECONDS)


def _fill(number: int) -> None:
    """Put nothing where a descriptor is closed, or a copy of the peer's would take its place."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_WRONLY)


def _put(descriptor: int, number: int) -> None:
    os.dup2(descriptor, number)
    os.close(descriptor)


def _log_lines(descriptor: int) -> None:
    rest = b""
    while data := os.read(descriptor, READ_SIZE):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > MAX_LINE:
            end = max(rest.rfind(b","), 0) or max(rest.rfind(b" "), 0) or len(rest)
            lines, rest = [*lines, rest[:end]], rest[end:]
        for line in lines:
            _log(line)
    _log(rest)
    os.close(descriptor)


def _log(line: bytes) -> None:
    text = redaction.redact(line.decode(errors="replace"))
    for start in range(0, len(text), MAX_TEXT):
        log.warning("stray_stdout", extra={"text": redaction.Covered(text[start : start + MAX_TEXT])})
