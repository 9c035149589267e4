"""What the program says on stderr, and what it never says."""

from __future__ import annotations

import io
import json
import logging as standard
import os
import re
import select
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openhuman_core.runtime import logging
from tests.conftest import StartDaemon
from tests.support.daemon import request, run
from tests.support.recorder import Recorder, answer

CANARY = "secret-canary"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")

# Third-party code, made to fail as it never does.
BROKEN_HTTP_LIBRARY = f"""
import aiohttp
async def request(self, *words, **options):
    raise RuntimeError("{CANARY}", options)
aiohttp.ClientSession.request = request
"""

# What ends a thread, a destructor and the daemon.
CRASHES = f"""
import threading
from openhuman_core.runtime import logging, streams

class Leaving:
    def __del__(self):
        raise LookupError("{CANARY}")

def crash():
    raise ValueError("{CANARY}")

def streams_that_crash():
    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    Leaving()
    raise BaseExceptionGroup("{CANARY}", [KeyboardInterrupt("{CANARY}")])

streams.Streams = streams_that_crash
"""


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give what this process logs, and put its logging back as it was."""
    root, ours = standard.getLogger(), logging.log
    handlers, levels, shown = root.handlers[:], (root.level, ours.level), warnings.showwarning
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    found = io.StringIO()
    logging.configure("debug", found)
    yield found
    standard.captureWarnings(capture=False)
    warnings.showwarning = shown
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


def records(text: str) -> list[dict[str, Any]]:
    """Read a log, each line of which must be a JSON object with a time and a level."""
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        assert TIME.fullmatch(record.pop("time"))
    return found


def test_the_log_is_one_json_line_for_each_call_and_for_start_and_end(start: StartDaemon, backend: Recorder) -> None:
    """Each tells what was called, how it ended, how long it took, and how to find it again."""
    backend.script = [answer(404, {"success": False, "error": "no such team"})]
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    daemon.error("openhuman.team_get_team", {"teamId": CANARY})
    daemon.result("openhuman.billing_top_up", {"amountUsd": 5})
    daemon.result("openhuman.auth_get_state")
    daemon.error("openhuman.billing_top_up", {"amountUsd": 0})
    assert daemon.end() == 0
    started, *calls, ended = records(daemon.log())
    milliseconds = [call.pop("ms") for call in calls]
    correlation_ids = {call.pop("correlationId") for call in calls}
    assert (started["message"], started["level"]) == ("started", "INFO")
    assert ended == {"level": "INFO", "message": "ended", "exitCode": 0}
    top_up = {"method": "openhuman.billing_top_up", "route": "POST /payments/credits/top-up"}
    assert calls == [
        {"level": "INFO", "message": "call", **fields}
        for fields in (
            {"method": "openhuman.team_get_team", "route": "GET /teams/{teamId}", "outcome": "not_found"},
            {**top_up, "outcome": "ok"},
            {"method": "openhuman.auth_get_state", "route": None, "outcome": "ok"},
            {**top_up, "outcome": "invalid_params"},
        )
    ]
    assert all(0 <= time < 60_000 for time in milliseconds)
    assert len(correlation_ids) == 4
    assert CANARY not in daemon.log()


@pytest.mark.parametrize("level", ["error", "warning"])
def test_a_higher_level_silences_them(home: Path, level: str) -> None:
    """Then a healthy daemon says nothing."""
    calls = json.dumps([request(1, "openhuman.auth_get_state"), request(2, "no_such_method")]).encode()
    done = run(home, "serve", "--log-level", level, stdin=calls)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("method", ["openhuman.billing_get_balance", "openhuman.billing_top_up"])
def test_a_bug_is_found_by_its_correlation_id_and_tells_nothing_else(
    start: StartDaemon, home: Path, tmp_path: Path, method: str
) -> None:
    """The caller learns that it was a bug of ours, the log where; neither holds what the exception said."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN_HTTP_LIBRARY)
    environ = {"PYTHONPATH": str(tmp_path), "BACKEND_URL": "http://127.0.0.1:9", "OPENHUMAN_TOKEN": CANARY}
    daemon = start(**environ)
    pays = method.endswith("top_up")
    error = daemon.error(method, {"amountUsd": 5} if pays else {})
    correlation_id = error["data"].pop("correlationId")
    assert error == {
        "code": -32603,
        "message": "internal error",
        "data": {
            "kind": "internal_error",
            "retryable": False,
            "hint": "Look up data.correlationId in the log and report it.",
            **({"moneyMoved": "no"} if pays else {}),
        },
    }
    assert daemon.result("core.health")["errors"] == {"internal_error": 1}
    assert daemon.end() == 0
    found = [record for record in records(daemon.log()) if record.get("correlationId") == correlation_id]
    assert [(record["message"], record["level"]) for record in found] == [("bug", "ERROR"), ("call", "INFO")]
    assert "builtins.RuntimeError" in found[0]["exception"]
    assert "sitecustomize.py" in found[0]["exception"]
    assert CANARY not in daemon.log()
    assert not any(CANARY in path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())


def test_an_exception_is_told_without_what_it_says(stream: io.StringIO) -> None:
    """Nor what its cause says."""
    problem = KeyError(CANARY)
    problem.__cause__ = ValueError(CANARY)
    logging.log.error("bug", exc_info=problem)
    (record,) = records(stream.getvalue())
    told = record.pop("exception").splitlines()
    assert record == {"level": "ERROR", "message": "bug"}
    assert [line for line in told if not line.startswith("  ")] == ["builtins.KeyError", "builtins.ValueError"]
    assert CANARY not in stream.getvalue()


def test_warnings_and_what_other_libraries_log_come_out_as_json(stream: io.StringIO) -> None:
    """What is below a warning does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        standard.captureWarnings(capture=False)
        standard.captureWarnings(capture=True)
        warnings.warn(f"look at {JWT}", UserWarning, stacklevel=1)
    other = standard.getLogger("a.library")
    other.warning("%s is off", "something")
    other.info("nothing of interest")
    warning, record = records(stream.getvalue())
    assert warning["level"] == "WARNING"
    assert "UserWarning: look at [redacted]" in warning["message"]
    assert record == {"level": "WARNING", "message": "something is off"}


def handler_of(stream: io.StringIO) -> standard.Handler:
    """Give the handler that writes to a stream; pytest's own would stop at what cannot be worded."""
    handlers = standard.getLogger().handlers
    (ours,) = (item for item in handlers if isinstance(item, standard.StreamHandler) and item.stream is stream)
    return ours


def test_a_record_that_cannot_be_worded_says_where_it_is_from(stream: io.StringIO) -> None:
    """The standard library would print its words and its arguments as they are."""
    ours = handler_of(stream)
    unsound = {"msg": f"{CANARY} %d", "args": (CANARY,), "levelname": "ERROR", "module": "a_library", "lineno": 7}
    ours.handle(standard.makeLogRecord(unsound))
    assert CANARY not in stream.getvalue()
    (record,) = records(stream.getvalue())
    assert (record["message"], record["problem"]) == ("a record cannot be worded", "TypeError")
    assert record["source"] == "a_library:7"


def test_a_record_whose_own_words_fail_ends_nothing(stream: io.StringIO) -> None:
    """What it holds is anybody's object."""

    class Wordless:
        def __str__(self) -> str:
            raise NotImplementedError(CANARY)

    for words in ({"msg": "look at %s", "args": (Wordless(),)}, {"msg": "next"}):
        handler_of(stream).handle(standard.makeLogRecord({**words, "levelname": "ERROR"}))
    wordless, following = records(stream.getvalue())
    assert (wordless["message"], wordless["problem"]) == ("a record cannot be worded", "NotImplementedError")
    assert following["message"] == "next"


def test_a_stack_is_told_without_its_lines_of_code(stream: io.StringIO) -> None:
    """They may hold a literal."""
    logging.log.error("look", stack_info=bool("a-literal"))
    (record,) = records(stream.getvalue())
    assert "test_logging.py" in record["stack_info"]
    assert "a-literal" not in record["stack_info"]


def test_what_crashes_beside_the_calls_is_told_as_a_bug(home: Path, tmp_path: Path) -> None:
    """In a thread, in a destructor, and at the end of the program itself; Python would show what the exception says."""
    (tmp_path / "sitecustomize.py").write_text(CRASHES)
    done = run(home, "serve", stdin=json.dumps(request(1, "core.ping")).encode(), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert CANARY not in done.stderr.decode()
    crashed = [record["exception"].splitlines()[0] for record in records(done.stderr.decode()) if "exception" in record]
    assert crashed == ["builtins.ValueError", "builtins.LookupError", "builtins.BaseExceptionGroup"]


def test_records_that_nobody_reads_are_dropped_and_counted() -> None:
    """The program goes on meanwhile."""
    read_end, write_end = os.pipe()
    count = logging.MAX_UNWRITTEN + 5_000  # some of it is in the pipe
    with os.fdopen(write_end, "w") as stream, os.fdopen(read_end, "rb", buffering=0) as reader:
        logging.configure("info", stream, beside=True)
        for number in range(count):
            logging.log.info("call", extra={"number": number})
        rest, seen, dropped = b"", 0, 0
        while seen + dropped < count:
            assert select.select([reader], [], [], 20)[0]
            *lines, rest = (rest + reader.read(65_536)).split(b"\n")
            records = [json.loads(line) for line in lines]
            dropped += sum(record["count"] for record in records if record["message"] == "records dropped")
            seen += sum(record["message"] == "call" for record in records)
        logging.close()
    assert (seen + dropped, dropped > 0) == (count, True)


def test_a_log_that_must_not_wait_for_its_reader_loses_no_record() -> None:
    """Whoever made the pipe may have said so; what does not fit is written once there is room."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    count = logging.MAX_UNWRITTEN - 1  # many times what a pipe holds, and none is dropped
    with os.fdopen(write_end, "w") as stream, os.fdopen(read_end, "rb", buffering=0) as reader:
        logging.configure("info", stream, beside=True)
        for number in range(count):
            logging.log.info("call", extra={"number": number})
        lines: list[bytes] = []
        rest = b""
        while len(lines) < count:
            assert select.select([reader], [], [], 20)[0]
            *whole, rest = (rest + reader.read(65_536)).split(b"\n")
            lines += whole
        logging.close()
    assert [json.loads(line)["number"] for line in lines] == [*range(count)]
