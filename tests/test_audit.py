"""The trail of writes: one line each, on disk before the answer, with nothing secret or personal in it."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import PATIENCE_SECONDS, Daemon, request, run
from tests.support.recorder import CLOSE, SILENCE, Recorder, answer, ok

LINK = {"url": "https://pay.example/1?secret=s3cret", "gatewayTransactionId": "g1"}
INVITE = {"teamId": "team-1", "email": "ada@example.com"}


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """Give a file that is not there yet."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def audited(start: StartDaemon, backend: Recorder, trail: Path) -> Daemon:
    """Give a daemon that keeps the trail."""
    return start("--audit", str(trail), BACKEND_URL=backend.url, OPENHUMAN_TOKEN="env-token")


def lines(trail: Path) -> list[dict[str, Any]]:
    """Give the lines without the time and the duration, which must be there."""
    found = [json.loads(line) for line in trail.read_text(encoding="utf-8").splitlines()]
    assert all(isinstance(line.pop("ms"), float) and line.pop("time").endswith("Z") for line in found)
    return found


def line(method: str, route: str | None, effect: str, outcome: str, **more: Any) -> dict[str, Any]:
    """Make a line as it must be."""
    fields = {"profile": "default", "method": f"openhuman.{method}", "route": route, "effect": effect}
    return {**fields, "idempotencyKey": None, "outcome": outcome, "requestId": None, **more}


TOP_UP = ("billing_top_up", "POST /payments/credits/top-up", "money")
EMAIL = ("team_send_email_invite", "POST /teams/{teamId}/invites/email", "create")


def test_each_write_leaves_a_line_before_its_answer(audited: Daemon, backend: Recorder, trail: Path) -> None:
    """Reads leave none, nor does what never came to be made."""
    backend.script = [
        answer(200, {"success": True, "data": LINK}, {"x-request-id": "req_1"}),
        ok([]),
        answer(403, {"success": False, "error": "no, ada@example.com"}, {"x-request-id": "req_2"}),
        CLOSE,
    ]
    audited.result("openhuman.billing_top_up", {"amountUsd": 25, "idempotencyKey": "k"})
    assert len(lines(trail)) == 1
    audited.result("openhuman.team_list_teams")
    audited.error("openhuman.billing_top_up", {"amountUsd": -1})
    audited.result("openhuman.billing_top_up", {"amountUsd": 25, "idempotencyKey": "k"})
    audited.error("openhuman.team_send_email_invite", INVITE)
    audited.error("openhuman.billing_top_up", {"amountUsd": 7})
    audited.result("openhuman.auth_set_credential", {"token": "new-token", "user": {"name": "Ada"}})
    assert lines(trail) == [
        line(*TOP_UP, "ok", idempotencyKey="k", replayed=False, requestId="req_1"),
        line(*TOP_UP, "ok", idempotencyKey="k", replayed=True),
        line(*EMAIL, "forbidden", requestId="req_2"),
        line(*TOP_UP, "outcome_unknown"),
        line("auth_set_credential", None, "write", "ok", replayed=False),
    ]
    text = trail.read_text(encoding="utf-8")
    assert [word for word in ("ada@", "Ada", "team-1", "s3cret", "token") if word in text] == []
    assert stat.S_IMODE(trail.stat().st_mode) == 0o600


def test_a_key_that_is_settled_by_hand_is_named(audited: Daemon, backend: Recorder, trail: Path) -> None:
    """It decides what becomes of the next call under it."""
    backend.script = [CLOSE]
    audited.error("openhuman.billing_top_up", {"amountUsd": 25, "idempotencyKey": "k"})
    audited.result("openhuman.journal_resolve", {"idempotencyKey": "k", "outcome": "not_done"})
    assert lines(trail) == [
        line(*TOP_UP, "outcome_unknown", idempotencyKey="k"),
        line("journal_resolve", None, "write", "ok", idempotencyKey="k", replayed=False),
    ]


def test_a_cancelled_write_says_whether_it_was_sent(audited: Daemon, backend: Recorder, trail: Path) -> None:
    """It is on disk before the caller hears of it."""
    backend.default = SILENCE
    audited.send(request("c", "openhuman.team_send_email_invite", INVITE))
    backend.wait_for(1)
    audited.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
    assert audited.answer()["error"]["data"]["kind"] == "cancelled"
    assert lines(trail) == [line(*EMAIL, "cancelled", acted="unknown")]


def test_a_write_that_does_not_end_before_the_program_leaves_its_line(
    start: StartDaemon, backend: Recorder, trail: Path
) -> None:
    """Another process holds the journal, so what became of the call cannot be settled when its caller is told."""
    backend.script = [ok(LINK), SILENCE]
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "env-token"}
    daemon = start("--audit", str(trail), "--drain-seconds", "0.1", **env)
    daemon.result("openhuman.billing_top_up", {"amountUsd": 25, "idempotencyKey": "k-1"})
    daemon.send(request("late", "openhuman.billing_top_up", {"amountUsd": 25, "idempotencyKey": "k-2"}))
    backend.wait_for(2)
    with closing(sqlite3.connect(daemon.home / "core" / "journal.db", isolation_level=None)) as journal:
        journal.execute("BEGIN IMMEDIATE")
        daemon.signal(signal.SIGTERM)
        assert daemon.answer()["error"]["data"]["effect"] == "unknown"
        assert lines(trail)[1:] == [line(*TOP_UP, "shutting_down", idempotencyKey="k-2", acted="unknown")]


def test_commands_and_processes_share_a_trail_that_may_be_moved(
    home: Path, start: StartDaemon, backend: Recorder, trail: Path
) -> None:
    """Each line is whole; after a rotation a new file begins."""
    backend.default = ok({})
    variables = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t"}
    daemons = [start(**variables, OPENHUMAN_AUDIT=str(trail)) for _ in range(3)]
    for daemon in daemons:
        daemon.send([request(number, "openhuman.team_create_team", {"name": "x"}) for number in range(50)])
    for daemon in daemons:
        daemon.answer()
    words = ("team", "create-team", "--name", "x", "--audit", str(trail), "--profile", "work")
    assert run(home, *words, stdin=b"", **variables).returncode == 0
    made = ("team_create_team", "POST /teams", "create", "ok")
    expected = [line(*made, replayed=False)] * 150
    assert lines(trail) == [*expected, line(*made, replayed=False, profile="work")]
    trail.rename(trail.with_suffix(".old"))
    daemons[0].result("openhuman.team_create_team", {"name": "x"})
    assert lines(trail) == [line(*made, replayed=False)]


def test_lines_that_processes_append_at_once_stand_whole_and_alone(trail: Path) -> None:
    """A line that another one is just writing is not torn."""
    script = (
        "import sys; from pathlib import Path; from openhuman_core.runtime.audit import Audit; "
        "audit = Audit(Path(sys.argv[1]), 'p'); [audit._append(b'x' * 188 + b'\\n') for _ in range(1000)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(trail)]) for _ in range(4)]
    assert [writer.wait(PATIENCE_SECONDS) for writer in writers] == [0] * 4
    assert Counter(trail.read_bytes().splitlines()) == {b"x" * 188: 4000}


def test_no_write_begins_while_a_line_is_missing(audited: Daemon, backend: Recorder, trail: Path) -> None:
    """On a full disk the write that was made is answered as it ended; its line comes first when there is room."""
    backend.default = ok(LINK)
    audited.result("openhuman.billing_top_up", {"amountUsd": 1, "idempotencyKey": "a"})
    _limit(audited, trail.stat().st_size + 10)
    made = audited.result("openhuman.billing_top_up", {"amountUsd": 2})
    assert made["result"] == LINK
    error = audited.error("openhuman.billing_top_up", {"amountUsd": 3})
    assert (error["data"]["kind"], error["data"]["moneyMoved"], len(backend.seen)) == ("configuration", "no", 2)
    assert audited.result("openhuman.team_list_teams")["result"] == LINK
    _limit(audited, resource.RLIM_INFINITY)
    audited.result("openhuman.billing_top_up", {"amountUsd": 4})
    assert lines(trail) == [
        line(*TOP_UP, "ok", idempotencyKey="a", replayed=False),
        line(*TOP_UP, "ok", replayed=False),
        line(*TOP_UP, "ok", replayed=False),
    ]


@pytest.mark.parametrize("place", ["missing/audit", ".", "fifo"])
def test_a_trail_that_cannot_be_written_stops_writes(
    home: Path, tmp_path: Path, backend: Recorder, start: StartDaemon, place: str
) -> None:
    """Before anything is sent; reads go on."""
    if place == "fifo":
        os.mkfifo(tmp_path / "fifo")
    daemon = start("--audit", str(tmp_path / place), BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    error = daemon.error("openhuman.team_create_team", {"name": "x"})
    assert (error["code"], str(tmp_path / place) in error["message"]) == (-32016, True)
    daemon.result("openhuman.team_list_teams")
    assert [seen.target for seen in backend.seen] == ["/teams"]
    assert not (home / "core").exists()


def _limit(daemon: Daemon, most: int) -> None:
    """Let no file of a program grow past so many bytes, as on a full disk."""
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def test_a_line_begins_on_its_own_whatever_another_program_left(
    audited: Daemon, backend: Recorder, trail: Path
) -> None:
    """As one that was killed while it wrote."""
    trail.write_bytes(b'{"time": "2026-torn')
    backend.default = ok({})
    audited.result("openhuman.team_create_team", {"name": "x"})
    torn, whole = trail.read_text(encoding="utf-8").splitlines()
    assert (torn, json.loads(whole)["outcome"]) == ('{"time": "2026-torn', "ok")


def test_the_words_of_others_are_covered_in_the_trail(start: StartDaemon, backend: Recorder, trail: Path) -> None:
    """A key and a request id may hold anything; a plain one stays, since it is looked for."""
    token = "opaquetoken-abcdef-123456"
    daemon = start("--audit", str(trail), BACKEND_URL=backend.url, OPENHUMAN_TOKEN=token)
    backend.default = answer(200, {"success": True, "data": {}}, {"x-request-id": f"{token} ada@example.com"})
    keys = ["invite-ada@example.com-4242424242424242", "0b5f3140-6f2a-4c1e-9a5e-2f6d1c3b4a59"]
    for key in keys:
        daemon.result("openhuman.team_create_team", {"name": "x", "idempotencyKey": key})
    text = trail.read_text(encoding="utf-8")
    assert [word for word in (token, "ada@", "4242") if word in text] == []
    assert lines(trail)[1]["idempotencyKey"] == keys[1]
