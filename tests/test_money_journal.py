"""What the journal costs and how long it keeps, and what holds when it cannot be written."""

from __future__ import annotations

import resource
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, request
from tests.support.house import kind, new_key, state_in, until
from tests.support.till import Step, Till, refusal

TOP_UP, TEAM = "openhuman.billing_top_up", "openhuman.team_create_team"
DAY = 24 * 3600


@pytest.fixture(scope="module")
def till() -> Iterator[Till]:
    """Give a hosted API that all tests here share."""
    with Till() as till:
        yield till


@pytest.fixture(scope="module")
def daemon(till: Till, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon whose journal is there already."""
    env = {"BACKEND_URL": till.url, "OPENHUMAN_TOKEN": "t"}
    with Daemon(tmp_path_factory.mktemp("home"), env=env) as daemon:
        daemon.result(TEAM, {"name": "n", "idempotencyKey": new_key()})
        yield daemon


def top_up(**more: Any) -> dict[str, Any]:
    """Make the params of a top-up under a key of its own."""
    return {"amountUsd": 5, "idempotencyKey": new_key(), **more}


def commits(home: Path) -> int:
    """Count the commits in the write-ahead log, each of which is one durable write.

    A frame that ends a commit says in its header how large the database is then (SQLite, "WAL File Format").
    """
    log = (home / "core" / "journal.db-wal").read_bytes()
    page_size, salts = struct.unpack(">I", log[8:12])[0], log[16:24]
    frames = (log[start : start + 24] for start in range(32, len(log), 24 + page_size))
    return sum(frame[8:16] == salts and frame[4:8] != bytes(4) for frame in frames)


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("openhuman.billing_get_balance", {}, 0),
        (TEAM, {"name": "n"}, 0),
        (TEAM, {"name": "n", "idempotencyKey": ...}, 2),
        (TOP_UP, {"amountUsd": 5}, 1),
        (TOP_UP, {"amountUsd": 5, "idempotencyKey": ...}, 3),
    ],
    ids=["read", "create", "create with a key", "payment, listed", "payment with a key, listed"],
)
def test_how_often_a_call_writes_durably(daemon: Daemon, method: str, params: dict[str, Any], expected: int) -> None:
    """Twice for its key, once for the list of payment links; to tell it again costs nothing."""
    params = {name: new_key() if value is ... else value for name, value in params.items()}
    before = commits(daemon.home)
    daemon.result(method, params)
    until(lambda: commits(daemon.home) - before >= expected)  # the list is written after the answer
    if "idempotencyKey" in params:
        daemon.result(method, params)
    assert commits(daemon.home) - before == expected


def test_a_refused_call_writes_twice(daemon: Daemon, till: Till) -> None:
    """To take its key, and to give it back."""
    before, till.script = commits(daemon.home), [refusal(400)]
    assert kind(daemon.ask(TOP_UP, top_up())) == "rejected"
    assert commits(daemon.home) - before == 2


@pytest.mark.parametrize(("state", "days", "kept"), [("done", 29, True), ("done", 31, False), ("unknown", 4_000, True)])
def test_a_key_is_kept_for_thirty_days_once_it_is_settled(
    daemon: Daemon, till: Till, state: str, days: int, *, kept: bool
) -> None:
    """Then it is forgotten, and is as good as new; one that nobody settled is held, and listed."""
    params = top_up()
    key, till.script = params["idempotencyKey"], [Step(closes=state == "unknown")]
    daemon.ask(TOP_UP, params)
    assert state_in(daemon.home, key) == state
    with closing(sqlite3.connect(daemon.home / "core" / "journal.db")) as journal, journal:
        journal.execute("UPDATE calls SET created = created - :age, updated = updated - :age", {"age": days * DAY})
    entries = daemon.result("openhuman.journal_list", {"limit": 100})["result"]
    assert (key in {entry["idempotencyKey"] for entry in entries}) == kept
    again = kind(daemon.ask(TOP_UP, params))
    told = f"g{till.charges.total()}"
    assert again == ("outcome_unknown" if state == "unknown" else f"{told} again" if kept else told)
    assert till.charges[key] == (1 if kept else 2)


def test_a_journal_that_others_can_write_to_is_not_believed(start: StartDaemon, till: Till) -> None:
    """They could have set a key free that paid."""
    env, params = {"BACKEND_URL": till.url, "OPENHUMAN_TOKEN": "t"}, top_up()
    charge, journal = start(**env).result(TOP_UP, params), start(**env).home / "core" / "journal.db"
    journal.chmod(0o666)
    error = start(**env).error(TOP_UP, params)
    assert (error["data"]["kind"], "is not this user's alone" in error["message"]) == ("journal_unavailable", True)
    journal.chmod(0o600)
    assert start(**env).result(TOP_UP, params)["result"] == charge["result"]
    assert till.charges[params["idempotencyKey"]] == 1


def test_a_journal_that_lost_all_it_held_stops_calls_with_a_key(start: StartDaemon, till: Till) -> None:
    """Every key would seem unused; who moves it away begins anew."""
    env, params = {"BACKEND_URL": till.url, "OPENHUMAN_TOKEN": "t"}, top_up()
    with start(**env) as daemon:
        daemon.result(TOP_UP, params)
        journal = daemon.home / "core" / "journal.db"
    journal.write_bytes(b"")
    error = start(**env).error(TOP_UP, params)
    assert (error["data"]["kind"], "it is empty" in error["message"]) == ("journal_unavailable", True)
    assert till.charges[params["idempotencyKey"]] == 1
    journal.unlink()
    start(**env).result(TOP_UP, params)
    assert till.charges[params["idempotencyKey"]] == 2


def test_a_journal_that_another_process_holds_is_told_as_that(daemon: Daemon, till: Till) -> None:
    """There is nothing to mend, and nothing was sent."""
    params, sent = top_up(), till.requests.total()
    with closing(sqlite3.connect(daemon.home / "core" / "journal.db", isolation_level=None)) as journal:
        journal.execute("BEGIN IMMEDIATE")
        assert daemon.error(TOP_UP, params) == {
            "code": -32015,
            "message": f"the journal in {daemon.home / 'core'} is not to be used: another process holds it",
            "data": {
                "kind": "journal_unavailable",
                "retryable": False,
                "hint": "Wait until it lets go, then call again with the same key.",
                "moneyMoved": "no",
            },
        }
    assert (till.requests.total(), kind(daemon.ask(TOP_UP, params))) == (sent, f"g{till.charges.total()}")


def fill_disk(daemon: Daemon, *, full: bool) -> None:
    """Let no file of a program grow, as on a full disk, or let them again."""
    most = 0 if full else resource.RLIM_INFINITY
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def test_a_full_disk_stops_a_call_with_a_key_before_anything_is_sent(daemon: Daemon, till: Till) -> None:
    """Calls without one still work, and so does the key when there is room again."""
    params = top_up()
    fill_disk(daemon, full=True)
    told = kind(daemon.ask(TOP_UP, params))
    without_key = kind(daemon.ask(TOP_UP, {"amountUsd": 5}))
    asked = till.requests[params["idempotencyKey"]]
    fill_disk(daemon, full=False)
    assert (told, asked, without_key) == ("journal_unavailable", 0, f"g{till.charges.total()}")
    assert kind(daemon.ask(TOP_UP, params)) == f"g{till.charges.total()}"


def test_a_disk_that_fills_while_a_call_is_under_way_loses_no_charge(daemon: Daemon, till: Till) -> None:
    """Its caller is told of the charge, and so is who asks again once there is room."""
    params, step = top_up(), Step(holds=True)
    till.script = [step]
    daemon.send(request("filling", TOP_UP, params))
    step.wait()
    fill_disk(daemon, full=True)
    step.go.set()
    first = kind(daemon.answer())
    fill_disk(daemon, full=False)
    assert first == f"g{till.charges.total()}"
    assert kind(daemon.ask(TOP_UP, params)) == f"{first} again"
    assert till.charges[params["idempotencyKey"]] == 1


def test_a_home_that_cannot_be_written_stops_only_calls_with_a_key(start: StartDaemon, till: Till) -> None:
    """Nothing is sent under a key; without one all goes on."""
    daemon = start(BACKEND_URL=till.url, OPENHUMAN_TOKEN="t", OPENHUMAN_WORKSPACE="/proc/sys")
    params = top_up()
    assert kind(daemon.ask(TOP_UP, params)) == "journal_unavailable"
    assert till.requests[params["idempotencyKey"]] == 0
    assert kind(daemon.ask(TOP_UP, {"amountUsd": 5})) == f"g{till.charges.total()}"
