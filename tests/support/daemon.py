"""The real daemon, driven over pipes as a parent process drives it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from openhuman_core.protocol.framing import Framing, frame

COMMAND = (sys.executable, "-m", "openhuman_core")
# No wait in a test is longer; a healthy daemon answers in a small part of it.
PATIENCE_SECONDS = 20.0


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Make an environment of our own: nothing of the person's account or settings comes through."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("COVERAGE", "LANG", "LC_", "PATH", "SYSTEMROOT", "TMP"))
    }
    return {**kept, "HOME": str(home), "OPENHUMAN_WORKSPACE": str(home), **variables}


def request(call_id: Any, method: str, params: Any = ...) -> dict[str, Any]:
    """Make a request; without `params` it has none."""
    message = {"jsonrpc": "2.0", "id": call_id, "method": method}
    return message if params is ... else {**message, "params": params}


def framed(body: bytes, framing: Framing) -> bytes:
    """Put a message in a frame."""
    return b"".join(frame((body,), framing))


# What these name in a test's environment or params is a secret; a shorter one would be in any log.
CREDENTIALS = ("OPENHUMAN_TOKEN", "OPENHUMAN_API_KEY")
SECRET_PARAMS = ("token", "loginToken", "code", "couponCode", "email", "paymentMethodId", "deviceFingerprint")
SHORTEST_SECRET = 8


def secrets_of(values: Any, names: Sequence[str]) -> set[str]:
    """Give the values of these names that a log must not hold."""
    found = (values.get(name) for name in names) if isinstance(values, Mapping) else ()
    return {value for value in found if isinstance(value, str) and len(value) >= SHORTEST_SECRET}


class Daemon:
    """A running `openhuman-core serve`; `calls` are matched to answers by id, whatever the order."""

    def __init__(self, home: Path, *flags: str, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [*COMMAND, "serve", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home, **(env or {})),
            cwd=home,
        )
        self._logged: list[bytes] = []
        self._more_logged = threading.Condition()
        self._log_reader = threading.Thread(target=self._read_log, daemon=True)
        self._log_reader.start()
        self.progress: list[Any] = []
        self._read = b""
        self._next_id = 0
        self._secrets = secrets_of(env, CREDENTIALS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log_reader.join(PATIENCE_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        if kind is None:
            log = self.log()
            assert [secret for secret in self._secrets if secret in log] == [], log

    def send(self, data: bytes | Mapping[str, Any] | Sequence[Any]) -> None:
        """Write bytes, or a message as a line."""
        assert self.process.stdin is not None
        raw = data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n"
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def close_input(self) -> None:
        """End the daemon's input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def line(self) -> bytes:
        """Read the next line from the daemon's stdout; fails when none comes in time."""
        while b"\n" not in self._read:
            self._read_more()
        line, _, self._read = self._read.partition(b"\n")
        return line

    def take(self, size: int) -> bytes:
        """Read so many bytes from the daemon's stdout; fails when they do not come in time."""
        while len(self._read) < size:
            self._read_more()
        data, self._read = self._read[:size], self._read[size:]
        return data

    def _read_more(self) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        assert ready, f"no answer in {PATIENCE_SECONDS} s; read so far: {self._read[:200]!r}; log: {self.log()}"
        chunk = os.read(self.process.stdout.fileno(), 65_536)
        assert chunk, f"the daemon closed its stdout; log: {self.log()}"
        self._read += chunk

    def answer(self) -> Any:
        """Read the next answer."""
        return json.loads(self.line())

    def ask(self, method: str, params: Any = ...) -> dict[str, Any]:
        """Make one call and give its whole answer; no other may be on its way. What it tells meanwhile is kept."""
        self._next_id += 1
        self._secrets |= secrets_of(params, SECRET_PARAMS)
        self.send(request(self._next_id, method, params))
        answer: dict[str, Any] = self.answer()
        while answer.get("method") == "$/progress":
            self.progress.append(answer["params"])
            answer = self.answer()
        assert answer["id"] == self._next_id
        return answer

    def result(self, method: str, params: Any = ...) -> Any:
        """Make one call that must succeed and give its result."""
        answer = self.ask(method, params)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method: str, params: Any = ...) -> dict[str, Any]:
        """Make one call that must fail and give its error."""
        answer = self.ask(method, params)
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    def end(self) -> int:
        """Close the input and give the exit code."""
        self.close_input()
        return self.process.wait(PATIENCE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def log(self) -> str:
        """Give what was logged so far; all of it once the daemon is gone."""
        if self.process.poll() is not None:
            self._log_reader.join(PATIENCE_SECONDS)
        return b"".join(self._logged).decode(errors="replace")

    def log_records(self, message: str, count: int = 1) -> list[dict[str, Any]]:
        """Give the log's records with a message, once there are `count`; the log is written beside the answers."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [record for record in map(json.loads, self._logged) if record["message"] == message]
            return len(found) >= count

        with self._more_logged:
            self._more_logged.wait_for(is_there, PATIENCE_SECONDS)
        return found

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more_logged:
                self._logged.append(line)
                self._more_logged.notify_all()


def run(home: Path, *words: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the program to its end; what it says on stderr holds no credential of its environment."""
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        env=environment(home, **variables),
        cwd=home,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert [secret for secret in secrets_of(variables, CREDENTIALS) if secret.encode() in done.stderr] == []
    return done
