"""A hosted API that counts what it charges, and that stops, cuts or refuses where a test says so."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.support.daemon import PATIENCE_SECONDS
from tests.support.recorder import answer, ok


@dataclass
class Step:
    """How one request goes.

    Where `reads_body` is false no more than its head is read, and nothing can be charged. Of `reply`, by default the
    charge, only `part` is sent, then the test is told and, where it `holds`, waited for; then comes the rest, or the
    end of the connection where it `closes`.
    """

    reads_body: bool = True
    charges: bool = True
    reply: bytes | None = None
    part: float = 0.0
    holds: bool = False
    closes: bool = False
    came: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Wait until the request has come to its place."""
        assert self.came.wait(PATIENCE_SECONDS), "no request came"


class Till:
    """Listens on a loopback port; `script` says how the next requests go, and all others go well."""

    def __init__(self, *, listening: bool = True) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)  # what nobody reads stays with its sender
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.script: list[Step] = []
        self.charges: Counter[str] = Counter()  # by idempotency key
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        if listening:
            self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def listen(self) -> None:
        """Let connections be made."""
        self._listener.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    def fill(self) -> list[socket.socket]:
        """Listen, but with no room left for a connection: whoever comes waits. Gives what takes the room."""
        self._listener.listen(0)
        return [self._knock() for _ in range(2)]

    def _knock(self) -> socket.socket:
        knocking = socket.socket()
        knocking.settimeout(0)
        knocking.connect_ex(self._listener.getsockname())
        return knocking

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while self._take(connection, stream):
                    pass
        except OSError:
            pass

    def _take(self, connection: socket.socket, stream: Any) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return False
            head += line
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        key = headers.get("idempotency-key", "")
        with self._lock:
            step = self.script.pop(0) if self.script else Step()
            self.requests[key] += 1
        reply = step.reply or b""
        if step.reads_body:
            if len(stream.read(int(headers.get("content-length", "0")))) < int(headers.get("content-length", "0")):
                return False
            charge = self._charge(key) if step.charges else b""
            reply = reply or charge
        sent = int(len(reply) * step.part)
        connection.sendall(reply[:sent])
        step.came.set()
        if step.holds:
            step.go.wait(PATIENCE_SECONDS)
        if not step.closes:
            connection.sendall(reply[sent:])
        step.over.set()
        return not step.closes and step.reads_body

    def _charge(self, key: str) -> bytes:
        with self._lock:
            self.charges[key] += 1
            number = self.charges.total()
        charge = {"gatewayTransactionId": f"g{number}", "url": f"https://pay.example/{number}", "hostedUrl": "h"}
        return ok(charge)


def refusal(status: int, **headers: str) -> Step:
    """Make a step that refuses without charging."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(charges=False, reply=answer(status, {"success": False, "error": "no"}, named))
