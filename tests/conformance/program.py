"""A program under test: a process that is written to and read from, and never waited for without a bound."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from tests.conformance.cases import dumped, framed
from tests.conformance.profiles import Framing, Profile

# Starting an interpreter and its libraries on a busy machine.
START_SECONDS = 20.0
# How long a program that was answered everything may take to see that its input ended.
END_SECONDS = 2.0
# Long enough for the program to read one piece before the next one comes.
PIECE_SECONDS = 0.001

_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class Program:
    """A process that speaks JSON-RPC; `frames` are what it said, and text for what is no frame."""

    def __init__(self, command: Sequence[str], profile: Profile, framing: Framing, env: Mapping[str, str]) -> None:
        self.frames: list[Any] = []
        self.profile = profile
        self._framing = framing
        self._rest = b""
        self._open = True
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(env), bufsize=0
        )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        if profile.handshake:
            self._shake_hands()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def converse(self, chunks: Sequence[bytes], is_enough: Callable[[], bool], patience: float) -> None:
        """Write and read at once, until enough was said, it can say no more, or nothing moved for so many seconds."""
        waiting = list(reversed(chunks))
        piecewise = len(waiting) > 1
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if waiting:
                selector.register(self._stdin, selectors.EVENT_WRITE)
            while self._open and (waiting or not is_enough()):
                ready = selector.select(patience)
                if not ready:
                    return
                for key, _ in ready:
                    if key.fileobj is self._stdout:
                        self._read()
                    elif not self._write(waiting):
                        selector.unregister(self._stdin)
                    elif piecewise:
                        time.sleep(PIECE_SECONDS)

    def close_input(self) -> None:
        """End the program's input."""
        self._stdin.close()

    def end(self) -> int | None:
        """Read what is left after the end of input, and give the exit code; None if the program does not end."""
        self.close_input()
        self.converse((), lambda: False, END_SECONDS)
        if self._rest:
            self.frames.append(f"no frame: {self._rest[:200]!r}")
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _shake_hands(self) -> None:
        sent = [framed(dumped(message), self._framing) for message in self.profile.handshake]
        self.converse(sent[:1], lambda: bool(self.frames), START_SECONDS)
        self.converse(sent[1:], lambda: True, START_SECONDS)
        self.frames.clear()

    def _write(self, waiting: list[bytes]) -> bool:
        """Write some of the next piece; tells whether something is left."""
        try:
            written = os.write(self._stdin.fileno(), waiting[-1][: 2**20])
        except BlockingIOError:
            return True
        except BrokenPipeError:
            waiting.clear()
            return False
        piece = waiting.pop()[written:]
        if piece:
            waiting.append(piece)
        return bool(waiting)

    def _read(self) -> None:
        data = os.read(self._stdout.fileno(), 2**18)
        self._open = bool(data)
        self._rest += data
        while (body := self._next_body()) is not None:
            try:
                self.frames.append(json.loads(body, parse_float=Decimal, parse_constant=_refuse))
            except ValueError:
                self.frames.append(f"no frame: {body[:200]!r}")

    def _next_body(self) -> bytes | None:
        if self._framing == "lines":
            body, end, rest = self._rest.partition(b"\n")
            if not end:
                return None
            self._rest = rest
            return body
        header, end, rest = self._rest.partition(b"\r\n\r\n")
        length = _LENGTH.search(header)
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            return None
        self._rest = rest[size:]
        return rest[:size] if length else header


def _refuse(name: str) -> Any:
    raise ValueError(name)
