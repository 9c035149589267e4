"""A program that speaks JSON-RPC over its stdin and stdout, started and timed from outside."""

import json
import os
import selectors
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 30.0
WRITE_SIZE, READ_SIZE = 65_536, 2**18
# Once in every answer, whatever the framing and the spacing.
MARK = b'"jsonrpc"'


def line(message: Mapping[str, Any]) -> bytes:
    """Put a message on a line."""
    return json.dumps(message).encode() + b"\n"


def framed(message: Mapping[str, Any]) -> bytes:
    """Put a message behind a Content-Length header."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def request(call_id: Any, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make a request."""
    return {"jsonrpc": "2.0", "id": call_id, "method": method, **({} if params is None else {"params": params})}


class Program:
    """One that runs; it ends when it is left. `received` counts the bytes of its answers."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.started = time.perf_counter()
        self.received = 0
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        assert self._process.stdin
        assert self._process.stdout
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, data: bytes, answers: int, mark: bytes = MARK) -> float:
        """Write `data` and read meanwhile until `mark` has come so many times; gives the seconds that it took."""
        begun = time.perf_counter()
        left, seen, tail = memoryview(data), 0, b""
        with selectors.DefaultSelector() as ready:
            ready.register(self._output, selectors.EVENT_READ)
            ready.register(self._input, selectors.EVENT_WRITE)
            while left or seen < answers:
                if time.perf_counter() - begun > PATIENCE_SECONDS:
                    raise TimeoutError(f"{seen} of {answers} answers")
                for key, _ in ready.select(PATIENCE_SECONDS):
                    if key.fd == self._input:
                        left = left[os.write(self._input, left[:WRITE_SIZE]) :] if left else left
                        if not left:
                            ready.unregister(self._input)
                        continue
                    chunk = os.read(self._output, READ_SIZE)
                    if not chunk:
                        raise EOFError(f"{seen} of {answers} answers")
                    self.received += len(chunk)
                    seen += (tail + chunk).count(mark)
                    tail = (tail + chunk)[1 - len(mark) :] if len(mark) > 1 else b""
        return time.perf_counter() - begun

    def round_trips(self, data: bytes, count: int) -> tuple[float, float]:
        """Ask the same again and again, one at a time; gives the median and the 99th percentile, in seconds."""
        times = [self.ask(data, 1) for _ in range(count)]
        return statistics.median(times), statistics.quantiles(times, n=100)[98]

    def resident_bytes(self) -> int:
        """Give the memory that it holds."""
        with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - a few lines of code
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """Give the processor time that it took, in ticks of the system (10 ms)."""
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - the same
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
