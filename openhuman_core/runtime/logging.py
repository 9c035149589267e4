"""JSON lines on stderr, redacted; one for each call, and one at the start and the end of the program."""

from __future__ import annotations

import io
import json
import logging
import os
import select
import sys
import threading
from contextlib import suppress
from functools import cached_property
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from openhuman_core.runtime import redaction

if TYPE_CHECKING:
    from pythonjsonlogger.core import BaseJsonFormatter

log = logging.getLogger("openhuman_core")
INFO = logging.INFO

# So many records may wait for a slow reader of the log.
MAX_UNWRITTEN = 10_000
LAST_WORDS_SECONDS = 0.5
# Records are gathered for so long before they are written: each time takes its turn from the event loop.
GATHER_SECONDS = 0.02
# So many are written at once.
PORTION = 100


def configure(level: str, stream: TextIO, *, beside: bool = False) -> None:
    """Send this program's records of `level` and above, and other libraries' warnings, to `stream`.

    With `beside` a thread writes them, so that a stream that nobody reads holds up nothing; `close` ends it.
    """
    handler = _Beside(stream) if beside else _Handler(stream)
    handler.setFormatter(_Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line tells them
    log.setLevel(level.upper())


def take_crashes() -> None:
    """Log what ends a thread or a destructor as a bug; Python would show what the exception says."""
    sys.unraisablehook = lambda told: log.error("bug", exc_info=told.exc_value)
    threading.excepthook = lambda told: log.error("bug", exc_info=told.exc_value)


def announce(message: str, **facts: Any) -> None:
    """Write a record whatever the level is; unlike `info` it does not search the stack for who calls."""
    log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, message, (), None, extra=facts))


def close() -> None:
    """Give what was logged last a moment to be written."""
    for handler in logging.getLogger().handlers:
        handler.close()


class _Handler(logging.StreamHandler[TextIO]):
    """Says of a record that cannot be worded where it is from; logging would show its words and values as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except RecursionError:  # of what has itself inside; logging hands on any other failure by itself
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        unsound = log.makeRecord(record.name, record.levelno, __file__, 0, "a record cannot be worded", (), None)
        unsound.problem, unsound.source = type(sys.exception()).__name__, f"{record.module}:{record.lineno}"
        with suppress(OSError, ValueError):  # nobody will ever read it
            self.stream.write(self.format(unsound) + self.terminator)


class _Beside(_Handler):
    """Hands records to a thread that formats and writes them; past a bound they are dropped, and counted."""

    def __init__(self, stream: TextIO) -> None:
        self._lines = io.StringIO()
        super().__init__(self._lines)
        self._output = stream
        self._records: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
        self._dropped = 0
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._records.qsize() < MAX_UNWRITTEN:
            self._records.put(record)
        else:
            self._dropped += 1

    def close(self) -> None:
        self._records.put(None)
        self._closing.set()
        self._writer.join(LAST_WORDS_SECONDS)
        super().close()

    def _write(self) -> None:
        records: list[logging.LogRecord | None] = []
        while None not in records:
            records = self._take()
            if self._dropped:
                count, self._dropped = self._dropped, 0
                late = log.makeRecord(log.name, logging.WARNING, __file__, 0, "records dropped", (), None)
                late.count = count
                records.insert(0, late)
            for record in records:
                if record is not None:
                    super().emit(record)
            data = self._lines.getvalue().encode()
            self._lines.seek(0)
            self._lines.truncate()
            try:
                self._put(data)
            except (OSError, ValueError):  # nobody will ever read it
                return

    def _put(self, data: bytes) -> None:
        """Write past the stream's buffer: its lock would be held for as long as nobody reads, and ends wait for it."""
        descriptor = self._output.fileno()
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:  # whoever made the pipe said not to wait
                select.select([], [descriptor], [])

    def _take(self) -> list[logging.LogRecord | None]:
        """Wait for a record, and give it with what comes behind it."""
        records = [self._records.get()]
        if self._records.qsize() < PORTION:
            self._closing.wait(GATHER_SECONDS)
        while len(records) < PORTION and not self._records.empty():
            records.append(self._records.get())
        return records


class _Formatter(logging.Formatter):
    """python-json-logger's formatter, loaded when the first record is written: start-up does not wait for it."""

    def format(self, record: logging.LogRecord) -> str:
        return self._json.format(record)

    @cached_property
    def _json(self) -> BaseJsonFormatter:
        from pythonjsonlogger.core import BaseJsonFormatter

        encode = json.JSONEncoder(default=repr).encode

        class Formatter(BaseJsonFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                return {name: redaction.covered(value, name) for name, value in log_data.items()}

            def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
                return encode(log_data)

            def formatException(  # noqa: N802 - logging's name
                self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
            ) -> str:
                return redaction.trace_of(ei[1])

            def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
                return "\n".join(line for line in stack_info.splitlines() if line.startswith("  File "))

        return Formatter(
            "%(asctime)s %(levelname)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "exc_info": "exception"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
