"""Money is never moved twice by processes that are killed, wait for each other, or come all at once."""

from __future__ import annotations

import base64
import json
import select
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import StartDaemon
from tests.support.daemon import PATIENCE_SECONDS, request
from tests.support.house import House, ask_all, has_open, kill, kind, new_key, state_in, until
from tests.support.recorder import answer
from tests.support.till import Step, Till, refusal

TOP_UP, CHARGE = "openhuman.billing_top_up", "openhuman.billing_create_coinbase_charge"
LARGE = {"text": "x" * 5_000_000}  # more than the kernel takes for a peer that does not read


def top_up(**more: Any) -> dict[str, Any]:
    """Make the params of a top-up under a key of its own."""
    return {"amountUsd": 5, "idempotencyKey": new_key(), **more}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a home with eight programs, all of which made the same payment as their first."""
    with ExitStack() as stack:
        house = House(tmp_path_factory.mktemp("house"), stack.enter_context(Till()), stack)
        for daemon in house.eight:
            daemon.result("core.ping")
        house.first_answers = ask_all(house.eight, TOP_UP, top_up(idempotencyKey="first"))
        yield house


def check_from_one_and_from_eight(house: House, method: str, params: dict[str, Any], expected: str) -> None:
    """Ask again from one program, then from eight; settle what is unknown, ask the eight again, and count.

    `expected` says what the key is: `free`, `told` with the charge, or `unknown`.
    """
    key, till = params["idempotencyKey"], house.till
    asked, charged = till.requests[key], till.charges[key]
    one = kind(house.eight[0].ask(method, params))
    eight = {kind(answer) for answer in ask_all(house.eight, method, params)}
    if expected == "unknown":
        assert (one, eight, till.requests[key]) == ("outcome_unknown", {"outcome_unknown"}, asked)
        assert house.state(key) == "unknown"
        params_of_it = {"idempotencyKey": key, "outcome": "done" if charged else "not_done"}
        house.eight[1].result("openhuman.journal_resolve", params_of_it)
        told = sorted(kind(answer) for answer in ask_all(house.eight, method, params))
        charge = f"g{till.charges.total()}"
        assert told == (["null again"] * 8 if charged else [charge, *[f"{charge} again"] * 7])
    else:
        charge = f"g{till.charges.total()}"
        assert (one, eight) == (charge if expected == "free" else f"{charge} again", {f"{charge} again"})
        assert till.requests[key] == asked + (expected == "free")
    assert till.charges[key] == 1


def test_a_program_is_killed_before_it_claims_the_key(house: House) -> None:
    """Nothing was sent, and nothing stands in the way."""
    victim, params = house.start(), top_up()
    with closing(house.locked_journal()):
        victim.send(request(1, TOP_UP, params))
        until(lambda: has_open(victim.process, "journal.db"))
        kill(victim)
    assert house.till.requests[params["idempotencyKey"]] == 0
    check_from_one_and_from_eight(house, TOP_UP, params, "free")


@pytest.mark.parametrize(
    ("point", "charged"), [("head left", 0), ("body left", 1), ("answer drips", 1), ("answer not recorded", 1)]
)
def test_a_program_is_killed_when_the_request_has_left(house: House, point: str, charged: int) -> None:
    """Whether it acted is not known, and nobody sends it again."""
    step = Step(reads_body=point != "head left", part=0.7 if point == "answer drips" else 0, holds=True)
    method = CHARGE if point == "head left" else TOP_UP
    params = top_up()
    key = params["idempotencyKey"]
    if point == "head left":
        params = {"plan": "PRO", "metadata": LARGE, "idempotencyKey": key}
    victim = house.start()
    house.till.script = [step]
    victim.send(request(1, method, params))
    step.wait()
    assert house.state(key) == "pending"
    if point == "answer not recorded":
        with closing(house.locked_journal()):
            step.go.set()
            assert step.over.wait(PATIENCE_SECONDS)
            kill(victim)
    kill(victim)
    step.go.set()
    assert house.till.charges[key] == charged
    check_from_one_and_from_eight(house, method, params, "unknown")


def test_a_program_is_killed_before_its_reply_is_read(house: House) -> None:
    """What it did is on record: whoever asks again is told."""
    victim, params = house.start(), top_up()
    victim.send(request(1, TOP_UP, params))
    assert victim.process.stdout is not None
    assert select.select([victim.process.stdout], [], [], PATIENCE_SECONDS)[0]
    kill(victim)
    check_from_one_and_from_eight(house, TOP_UP, params, "told")


def test_a_program_is_killed_while_it_connects(start: StartDaemon) -> None:
    """The claim is durable and nobody knows how far the call came; settled as not done, it can be made."""
    with Till(listening=False) as till, ExitStack() as knocking:
        for connection in till.fill():
            knocking.enter_context(connection)
        env, params = {"BACKEND_URL": till.url, "OPENHUMAN_TOKEN": "t"}, top_up()
        victim, key = start(**env), params["idempotencyKey"]
        victim.send(request(1, TOP_UP, params))
        until(lambda: state_in(victim.home, key) == "pending")
        kill(victim)
        till.listen()
        again = start(**env)
        assert kind(again.ask(TOP_UP, params)) == "outcome_unknown"
        again.result("openhuman.journal_resolve", {"idempotencyKey": key, "outcome": "not_done"})
        assert (kind(again.ask(TOP_UP, params)), till.requests[key], till.charges[key]) == ("g1", 1, 1)


@pytest.mark.parametrize(
    ("step", "told", "expected"),
    [
        (Step(part=0.7, closes=True), "outcome_unknown", "unknown"),
        (Step(closes=True), "outcome_unknown", "unknown"),
        (Step(charges=False, closes=True), "outcome_unknown", "unknown"),
        (Step(holds=True), "outcome_unknown", "unknown"),
        (Step(reply=answer(500, {"success": False})), "outcome_unknown", "unknown"),
        (Step(reply=answer(409, {"success": False})), "outcome_unknown", "unknown"),
        (Step(reply=answer(302, headers={"location": "/"})), "outcome_unknown", "unknown"),
        (Step(reply=answer(raw=b"<html>")), "outcome_unknown", "unknown"),
        (refusal(400), "rejected", "free"),
        (refusal(403), "forbidden", "free"),
        (refusal(429, retry_after="60"), "rate_limited", "free"),
    ],
    ids=["cut", "closed", "lost", "late", "500", "409", "302", "no JSON", "400", "403", "429"],
)
def test_an_answer_does_not_come_as_it_should(house: House, step: Step, told: str, expected: str) -> None:
    """A refusal leaves the key free; all else leaves it unknown, whether or not the call acted."""
    params = top_up(timeoutMs=400) if step.holds else top_up()
    house.till.script = [step]
    assert kind(house.eight[2].ask(TOP_UP, params)) == told
    params.pop("timeoutMs", None)
    check_from_one_and_from_eight(house, TOP_UP, params, expected)
    step.go.set()


def test_eight_programs_at_once_on_a_new_home(house: House) -> None:
    """One request, one charge, one outcome for all."""
    told = sorted(kind(answer) for answer in house.first_answers)
    assert (told, house.till.requests["first"], house.till.charges["first"]) == (["g1", *["g1 again"] * 7], 1, 1)


def test_a_program_waits_while_another_makes_the_journal(start: StartDaemon) -> None:
    """SQLite by itself lets the second of two that make a file fail at once."""
    with Till() as till:
        second = start(BACKEND_URL=till.url, OPENHUMAN_TOKEN="t")
        core = second.home / "core"
        core.mkdir(mode=0o700, parents=True)
        (core / "journal.db").touch(mode=0o600)
        with FileLock(core / "journal.lock", mode=0o600), closing(sqlite3.connect(core / "journal.db")) as first:
            first.execute("BEGIN IMMEDIATE")
            second.send(request(1, TOP_UP, top_up()))
            until(lambda: has_open(second.process, "journal.db"))
            assert second.process.stdout is not None
            assert not select.select([second.process.stdout], [], [], 0.5)[0]  # it waits
        assert (kind(second.answer()), till.charges.total()) == ("g1", 1)


def test_a_program_waits_for_another_until_its_own_deadline(house: House) -> None:
    """It is told that the outcome is unknown, sends nothing, and is told the outcome when it asks later."""
    first, second, step, params = house.eight[3], house.eight[4], Step(holds=True), top_up()
    house.till.script = [step]
    first.send(request(1, TOP_UP, params))
    step.wait()
    assert kind(second.ask(TOP_UP, {**params, "timeoutMs": 300})) == "outcome_unknown"
    assert house.till.requests[params["idempotencyKey"]] == 1
    step.go.set()
    charge = kind(first.answer())
    assert kind(second.ask(TOP_UP, params)) == f"{charge} again"
    check_from_one_and_from_eight(house, TOP_UP, params, "told")


def test_who_has_more_time_waits_longer_than_who_asked_first(house: House) -> None:
    """Two calls of one program wait for another program's payment; the first of them gives up, alone."""
    first, second, step, params = house.eight[3], house.eight[4], Step(holds=True), top_up()
    house.till.script = [step]
    first.send(request(1, TOP_UP, params))
    step.wait()
    second.send(request("hasty", TOP_UP, {**params, "timeoutMs": 300}))
    second.send(request("patient", TOP_UP, params))
    hasty = second.answer()
    assert (hasty["id"], kind(hasty)) == ("hasty", "outcome_unknown")
    step.go.set()
    charge = kind(first.answer())
    assert kind(second.answer()) == f"{charge} again"
    check_from_one_and_from_eight(house, TOP_UP, params, "told")


def test_a_program_waits_for_one_that_is_killed(house: House) -> None:
    """As soon as the first is gone its outcome is unknown, long before the second's own deadline."""
    first, second, step, params = house.start(), house.eight[4], Step(holds=True), top_up()
    house.till.script = [step]
    first.send(request(1, TOP_UP, params))
    step.wait()
    second.send(request("waits", TOP_UP, params))
    until(lambda: second.result("core.health")["inFlight"])
    kill(first)
    assert kind(second.answer()) == "outcome_unknown"
    step.go.set()
    check_from_one_and_from_eight(house, TOP_UP, params, "unknown")


def jwt(user: str, number: int) -> str:
    """Make a session token of a user; no two numbers give the same."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": user, "n": number}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


def test_a_key_belongs_to_an_account_and_a_base_url(start: StartDaemon) -> None:
    """Two tokens of one user are one account; another user, or another hosted API, shares nothing with it."""
    params = top_up(idempotencyKey="k")
    with Till() as till, Till() as elsewhere:
        tokens = [jwt("ada", 1), jwt("ada", 2), jwt("ben", 1)]
        ada, ada_again, ben = (start(BACKEND_URL=till.url, OPENHUMAN_TOKEN=token) for token in tokens)
        other = start(BACKEND_URL=elsewhere.url, OPENHUMAN_TOKEN=tokens[0])
        ada.result("openhuman.team_create_team", {"name": "n", "idempotencyKey": "ada's"})
        told = [kind(daemon.ask(TOP_UP, params)) for daemon in (ada, ada_again, ben, other)]
        keys = [
            [entry["idempotencyKey"] for entry in daemon.result("openhuman.journal_list")["result"]]
            for daemon in (ada, ada_again, ben, other)
        ]
    assert told == ["g2", "g2 again", "g3", "g1"]
    assert keys == [["k", "ada's"], ["k", "ada's"], ["k"], ["k"]]
    assert (till.charges, elsewhere.charges) == ({"ada's": 1, "k": 2}, {"k": 1})
