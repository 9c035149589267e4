"""A bare HTTP server that records each request as its bytes and answers as it is told."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire; header names are lower-case."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes


def answer(status: int = 200, body: Any = None, headers: dict[str, str] | None = None, *, raw: bytes = b"") -> bytes:
    """Make an HTTP answer; `body` is sent as JSON, `raw` as it is."""
    content = raw or (b"" if body is None else json.dumps(body).encode())
    head = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status} Some Phrase\r\n{lines}\r\n".encode() + content


def ok(data: Any) -> bytes:
    """Make a successful answer in the envelope."""
    return answer(body={"success": True, "data": data})


@dataclass
class Recorder:
    """Listens on a loopback port.

    Answers come from `script`, first in first out, then `default`. Three answers are special: `CLOSE` closes the
    connection without an answer, `SILENCE` keeps it open and says nothing, and bytes of an answer that promise more
    than they hold are followed by a close.
    """

    default: bytes = field(default_factory=lambda: ok({}))
    script: list[bytes] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when each came, in seconds of a monotonic clock

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.changed = threading.Condition()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # or the thread would wait in accept for ever
        self._listener.close()
        for connection in self._open:
            connection.close()

    def wait_for(self, count: int, seconds: float = 20.0) -> None:
        """Wait until so many requests have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.seen) >= count, seconds), f"saw {len(self.seen)} of {count}"

    def say(self, unasked: bytes) -> None:
        """Send what nobody asked for over the newest connection."""
        self._open[-1].sendall(unasked)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        try:
            while (seen := _read(stream)) is not None:
                with self.changed:
                    self.seen.append(seen)
                    self.times.append(time.monotonic())
                    reply = self.script.pop(0) if self.script else self.default
                    self.changed.notify_all()
                if reply == CLOSE:
                    break
                if reply == SILENCE:
                    continue
                connection.sendall(reply)
                if _is_cut(reply):
                    break
        except OSError:
            pass
        connection.close()
        stream.close()


CLOSE = b"close"
SILENCE = b"silence"


def _read(stream: Any) -> Seen | None:
    first = stream.readline()
    if not first:
        return None
    verb, target, _ = first.decode().split(" ", 2)
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Seen(verb, target, headers, body)


def _is_cut(reply: bytes) -> bool:
    head, _, body = reply.partition(b"\r\n\r\n")
    return b"content-length: %d" % len(body) not in head.lower()
