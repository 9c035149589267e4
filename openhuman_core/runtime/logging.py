"""JSON lines on stderr, redacted; one for each call, and one at the start and the end of the program."""

from __future__ import annotations

import logging
import re
import traceback
from functools import cached_property
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from pythonjsonlogger.json import JsonFormatter

log = logging.getLogger("openhuman_core")

# So many records may wait for a slow reader of the log.
MAX_UNWRITTEN = 10_000
LAST_WORDS_SECONDS = 0.5

# What a secret or a person's address looks like, wherever it stands.
_SHAPES = re.compile(
    r"eyJ[\w-]++\.[\w-]++\.[\w-]*"  # a JWT
    r"|\b(?:sk|pk|rk|whsec|pi|seti|ohk)_[\w-]{6,}"  # keys and secrets of Stripe's form
    r"|(?<=bearer )[\w.~+/=-]+"
    r"|(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]+"  # an e-mail address; the start alone is tried
    r"|(?<=\?)[^\s\"'#]+",  # a query string
    re.IGNORECASE,
)


def configure(level: str, stream: TextIO, *, beside: bool = False) -> None:
    """Send this program's records of `level` and above, and other libraries' warnings, to `stream`.

    With `beside` a thread writes them, so that a stream that nobody reads holds up nothing; `close` ends it.
    """
    handler: logging.Handler = _Beside(stream) if beside else logging.StreamHandler(stream)
    handler.setFormatter(_Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    log.setLevel(level.upper())


def announce(message: str, **facts: Any) -> None:
    """Write a record whatever the level is: somebody asked for it by name."""
    log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, message, (), None, extra=facts))


def close() -> None:
    """Give what was logged last a moment to be written."""
    for handler in logging.getLogger().handlers:
        handler.close()


class _Beside(logging.Handler):
    """Hands records to a thread that formats and writes them; past a bound they are dropped, and counted."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._records: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
        self._dropped = 0
        self._writer = Thread(target=self._write, daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._records.qsize() < MAX_UNWRITTEN:
            self._records.put(record)
        else:
            self._dropped += 1

    def close(self) -> None:
        self._records.put(None)
        self._writer.join(LAST_WORDS_SECONDS)
        super().close()

    def _write(self) -> None:
        while (record := self._records.get()) is not None:
            try:
                self._stream.write(self.format(record) + "\n")
                if self._dropped:
                    count, self._dropped = self._dropped, 0
                    late = log.makeRecord(log.name, logging.WARNING, __file__, 0, "records dropped", (), None)
                    late.count = count
                    self._stream.write(self.format(late) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody will ever read it
                return


class _Formatter(logging.Formatter):
    """python-json-logger's formatter, loaded when the first record is written: start-up does not wait for it."""

    def format(self, record: logging.LogRecord) -> str:
        return self._json.format(record)

    @cached_property
    def _json(self) -> JsonFormatter:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - see above

        class Formatter(JsonFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                return {name: _covered(value) for name, value in log_data.items()}

            def formatException(  # noqa: N802 - logging's name
                self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
            ) -> str:
                return _without_messages(ei[1])

        return Formatter(
            "%(asctime)s %(levelname)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "exc_info": "exception"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )


def redact(text: str) -> str:
    """Cover what has the shape of a secret."""
    return _SHAPES.sub("[redacted]", text)


def _covered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _covered(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_covered(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _without_messages(problem: BaseException | None) -> str:
    """Tell where an exception came from; its message may hold anything, so it is not told."""
    lines = []
    while problem is not None:
        lines.append(f"{type(problem).__module__}.{type(problem).__qualname__}")
        lines += [f"  {f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(problem.__traceback__)]
        for part in problem.exceptions if isinstance(problem, BaseExceptionGroup) else ():
            lines.append(_without_messages(part))
        problem = problem.__cause__ or problem.__context__
    return "\n".join(lines)
