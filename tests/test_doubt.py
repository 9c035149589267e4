"""What may have acted is never told as what has not, by whoever asks again, waits, cancels or looks."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, request
from tests.support.recorder import CLOSE, SILENCE, Recorder, answer, ok

TOP_UP, CHARGE = "openhuman.billing_top_up", "openhuman.billing_get_coinbase_charge"
WAIT, LINKS = "openhuman.billing_wait_for_payment", "openhuman.billing_list_payment_links"
LIST, RESOLVE = "openhuman.journal_list", "openhuman.journal_resolve"
PAID = {"url": "https://pay.example/1", "gatewayTransactionId": "g1", "amountUsd": 25, "gateway": "stripe"}
KEYED = {"amountUsd": 25, "idempotencyKey": "k"}


def account(backend: Recorder) -> dict[str, str]:
    """Give the variables of someone signed in at the recording hosted API."""
    return {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t"}


def states(daemon: Daemon, **params: Any) -> dict[str, str]:
    """Give the state of each key."""
    return {entry["idempotencyKey"]: entry["state"] for entry in daemon.result(LIST, params)["result"]}


@pytest.mark.parametrize("then", [answer(403, {"success": False, "error": "no"}), CLOSE], ids=["refused", "lost again"])
def test_a_key_stays_unknown_whatever_becomes_of_a_second_call(
    start: StartDaemon, backend: Recorder, then: bytes
) -> None:
    """The first may have paid, though the second surely did not."""
    backend.script = [CLOSE, then]
    backend.default = ok(PAID)
    daemon = start("--idempotency-honoured", "--max-spend-usd", "40", **account(backend))
    for _ in range(2):
        error = daemon.error(TOP_UP, KEYED)["data"]
        assert (error["kind"], error["moneyMoved"], error["retryable"]) == ("outcome_unknown", "unknown", False)
        assert states(daemon) == {"k": "unknown"}
    assert daemon.result(TOP_UP, KEYED)["result"] == PAID
    left = daemon.error(TOP_UP, {"amountUsd": 15.01})["message"]
    assert left == "15.01 USD is more than what is left of the spend limit, 15 USD"


def test_what_is_sent_again_costs_nothing_twice_only_if_it_is_the_same(start: StartDaemon, backend: Recorder) -> None:
    """Another process may have made another call under the key meanwhile."""
    backend.script = [CLOSE, CLOSE]
    backend.default = ok(PAID)
    limited = start("--idempotency-honoured", "--max-spend-usd", "10", **account(backend))
    other = start("--idempotency-honoured", **account(backend))
    assert limited.error(TOP_UP, {**KEYED, "amountUsd": 1})["data"]["kind"] == "outcome_unknown"
    limited.result(RESOLVE, {"idempotencyKey": "k", "outcome": "not_done"})
    assert other.error(TOP_UP, {**KEYED, "amountUsd": 500})["data"]["kind"] == "outcome_unknown"
    told = limited.error(TOP_UP, {**KEYED, "amountUsd": 500})["message"]
    assert "this time: 500 USD is more than what is left of the spend limit, 9 USD" in told
    assert len(backend.seen) == 2


@pytest.mark.parametrize("how", ["cancel", "drain"])
def test_what_is_put_off_and_then_given_up_did_nothing(start: StartDaemon, backend: Recorder, how: str) -> None:
    """The hosted API said so; its key is free."""
    backend.script = [answer(503, {"success": False, "error": "later"}, {"retry-after": "2"})]
    daemon = start("--drain-seconds", "0.1", **account(backend))
    daemon.send(request("a", TOP_UP, KEYED))
    backend.wait_for(1)
    daemon.result("openhuman.billing_get_balance")  # by then the answer to the first has come
    if how == "cancel":
        daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "a"}})
    else:
        daemon.send(request("s", "core.shutdown"))
        assert daemon.answer()["id"] == "s"
    error = daemon.answer()["error"]["data"]
    assert (error["effect"], error["moneyMoved"], error["retryable"]) == ("not_sent", "no", True)
    if how == "cancel":
        assert states(daemon) == {"k": "free"}


def test_a_key_under_way_cannot_be_settled_by_hand(start: StartDaemon, backend: Recorder) -> None:
    """Neither here nor in another process; else the next call with it would pay again."""
    backend.default = SILENCE
    daemon = start(**account(backend))
    daemon.send(request("a", TOP_UP, KEYED))
    backend.wait_for(1)
    for other in (daemon, start(**account(backend))):
        error = other.error(RESOLVE, {"idempotencyKey": "k", "outcome": "not_done"})
        assert error["message"] == "idempotencyKey is not unknown but pending"


def test_one_key_with_two_sets_of_params_at_once_is_one_call_and_conflicts(
    start: StartDaemon, backend: Recorder
) -> None:
    """No call is made twice, and none is told to be unknown."""
    backend.default = ok(PAID)
    daemon = start("--idempotency-honoured", **account(backend))
    for turn in range(20):
        key = f"k{turn}"
        for place, amount in enumerate([1, 2, 2, 1, 2]):
            daemon.send(request(f"{turn}.{place}", TOP_UP, {"amountUsd": amount, "idempotencyKey": key}))
        told = [daemon.answer() for _ in range(5)]
        kinds = {found["error"]["data"]["kind"] if "error" in found else "ok" for found in told}
        assert kinds <= {"ok", "idempotency_conflict"}
    assert set(Counter(seen.headers["idempotency-key"] for seen in backend.seen).values()) == {1}


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_who_waits_for_a_payment_and_is_cancelled_knows_of_it(
    start: StartDaemon, backend: Recorder, where: str
) -> None:
    """Its own request never left, and still money may move."""
    backend.default = SILENCE
    first = start(**account(backend))
    first.send(request("a", TOP_UP, KEYED))
    backend.wait_for(1)
    second = first if where == "here" else start(**account(backend))
    second.result("openhuman.auth_get_state")
    second.send(request("b", TOP_UP, KEYED))
    second.result(LIST)
    second.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "b"}})
    error = second.answer()["error"]["data"]
    assert (error["kind"], error["effect"], error["moneyMoved"]) == ("cancelled", "unknown", "unknown")


def test_who_waits_for_a_write_that_ran_out_of_time_makes_it(start: StartDaemon, backend: Recorder) -> None:
    """The time of a call is its own caller's."""
    method, params = "openhuman.spend_caps_set", {"payload": {"monthlyUsd": 5}, "idempotencyKey": "k"}
    backend.script = [ok({}), SILENCE]
    backend.default = ok({"monthlyUsd": 5})
    daemon = start("--no-retries", **account(backend))
    daemon.result(method, {**params, "idempotencyKey": "warm"})
    daemon.send(request("hasty", method, {**params, "timeoutMs": 600}))
    backend.wait_for(2)
    daemon.send(request("patient", method, params))
    hasty, patient = daemon.answer(), daemon.answer()
    assert (hasty["id"], hasty["error"]["data"]["kind"]) == ("hasty", "backend_timeout")
    assert (patient["id"], patient["result"]["result"]) == ("patient", {"monthlyUsd": 5})


@pytest.mark.parametrize("stale", [ok({"url": "stale"}), answer(400, {"success": False, "error": "stale"})])
def test_an_answer_that_nobody_asked_for_is_no_payments(start: StartDaemon, backend: Recorder, stale: bytes) -> None:
    """It came over a kept-open connection, and the next call that uses that would take it for its own."""
    backend.script = [ok({})]
    backend.default = ok(PAID)
    daemon = start("--no-retries", **account(backend))
    daemon.result("openhuman.billing_get_balance")
    backend.say(stale)
    daemon.result("core.ping")
    assert daemon.result(TOP_UP, KEYED)["result"] == PAID
    assert [seen.target for seen in backend.seen] == ["/payments/credits/balance", "/payments/credits/top-up"]


def test_a_killed_call_is_listed_as_unknown(start: StartDaemon, backend: Recorder) -> None:
    """By the next process that looks, which can settle it."""
    backend.default = SILENCE
    killed = start(**account(backend))
    killed.send(request("a", TOP_UP, KEYED))
    backend.wait_for(1)
    killed.process.kill()
    killed.process.wait()
    daemon = start(**account(backend))
    assert states(daemon, state="unknown") == {"k": "unknown"}
    assert daemon.result(RESOLVE, {"idempotencyKey": "k", "outcome": "not_done"})["result"]["state"] == "free"


def test_an_outcome_that_could_not_be_written_is_written_later(start: StartDaemon, backend: Recorder) -> None:
    """The caller has its answer all the same, and a replay gives it again."""
    backend.script = [ok(PAID), SILENCE]
    daemon = start(**account(backend))
    daemon.result(TOP_UP, {**KEYED, "idempotencyKey": "warm"})
    daemon.send(request("a", TOP_UP, {**KEYED, "timeoutMs": 500}))
    backend.wait_for(2)
    lock = sqlite3.connect(daemon.home / "core" / "journal.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    told = daemon.answer()["error"]["data"]
    assert told["kind"] == "outcome_unknown"
    assert daemon.log_records("journal not written")
    lock.execute("ROLLBACK")
    lock.close()
    assert states(daemon) == {"k": "unknown", "warm": "done"}


@pytest.mark.parametrize("text", ["g\\ud83d", "g"])
def test_odd_text_in_an_answer_loses_no_payment(start: StartDaemon, backend: Recorder, text: str) -> None:
    """Half of a surrogate pair is a name cut short, and nothing to fail for."""
    body = b'{"success":true,"data":{"url":"https://pay.example","gatewayTransactionId":"%b","status":"N%b"}}' % (
        text.encode(),
        text.encode(),
    )
    backend.default = answer(raw=body)
    daemon = start(**account(backend))
    assert daemon.result(TOP_UP, KEYED)["result"]["url"] == "https://pay.example"
    assert len(daemon.result(LINKS)["result"]) == 1
    assert states(daemon) == {"k": "done"}


def test_a_link_is_listed_with_what_is_known_of_it(start: StartDaemon, backend: Recorder) -> None:
    """Fields are renamed at times; the status comes from whoever looks."""
    backend.script = [ok({"url": "https://pay.example/1", "transaction": "t"}), ok(PAID), ok({"status": "COMPLETED"})]
    daemon = start(**account(backend))
    daemon.result(TOP_UP, {"amountUsd": 5})
    daemon.result(TOP_UP, {"amountUsd": 25})
    daemon.result(CHARGE, {"gatewayTransactionId": "g1"})
    names = ("url", "ids", "amountUsd", "status")
    listed = daemon.result(LINKS)["result"]
    assert [{name: link.get(name) for name in names} for link in listed] == [
        {"url": PAID["url"], "ids": {"gatewayTransactionId": "g1"}, "amountUsd": 25, "status": "COMPLETED"},
        {"url": "https://pay.example/1", "ids": {}, "amountUsd": 5, "status": None},
    ]


@pytest.mark.parametrize("form", [b"25", b"25.0", b"2.5e1", b"250E-1"])
def test_a_number_is_the_same_in_each_of_its_forms(start: StartDaemon, backend: Recorder, form: bytes) -> None:
    """A retry from another language gets its outcome."""
    backend.default = ok(PAID)
    daemon = start(**account(backend))
    daemon.result(TOP_UP, KEYED)
    line = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":{"amountUsd":%b,"idempotencyKey":"k"}}\n'
    daemon.send(line % (TOP_UP.encode(), form))
    assert daemon.answer()["result"]["result"] == PAID
    assert len(backend.seen) == 1


def test_a_payment_is_followed_no_longer_than_was_asked_for(start: StartDaemon, backend: Recorder) -> None:
    """And its last state survives a look that fails."""
    backend.script = [ok({"status": "NEW"})]
    backend.default = SILENCE
    daemon = start("--no-retries", **account(backend))
    done = threading.Event()
    params = {"gatewayTransactionId": "g", "timeoutSeconds": 2}
    threading.Timer(10, done.set).start()
    assert daemon.result(WAIT, params)["result"] == {"status": "NEW"}
    assert not done.is_set()


def test_a_payment_is_looked_at_once_more_when_the_time_for_it_is_up(start: StartDaemon, backend: Recorder) -> None:
    """However long the next pause would have been."""
    backend.script = [ok({"status": "NEW"})] * 2
    backend.default = ok({"status": "COMPLETED"})
    daemon = start(**account(backend))
    params = {"gatewayTransactionId": "g", "timeoutSeconds": 2}
    assert daemon.result(WAIT, params)["result"] == {"status": "COMPLETED"}
    assert len(backend.seen) == 3


def test_a_payment_is_followed_no_longer_than_the_call_has(start: StartDaemon, backend: Recorder) -> None:
    """A look that takes longer ends with it."""
    backend.script = [ok({"status": "COMPLETED"})]
    backend.default = SILENCE
    daemon, params = start("--no-retries", **account(backend)), {"gatewayTransactionId": "g"}
    daemon.result(WAIT, params)
    error = daemon.error(WAIT, {**params, "timeoutMs": 400})
    route, _, after = error["message"].partition(" timed out after ")
    assert (error["data"]["kind"], route) == ("backend_timeout", "GET /payments/coinbase/charge/{gatewayTransactionId}")
    assert float(after.removesuffix(" s")) <= 0.4


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (LINKS, {"limit": 10**19}),
        (LINKS, {"offset": 10**30}),
        (LIST, {"limit": 10**19}),
        (WAIT, {"gatewayTransactionId": "g", "timeoutSeconds": 10**310}),
    ],
)
def test_a_number_that_is_too_large_is_refused(daemon: Daemon, method: str, params: dict[str, Any]) -> None:
    """Before anything is done."""
    assert daemon.error(method, params)["data"]["kind"] == "invalid_params"


@pytest.mark.parametrize("url", ["https://h.example:443", "https://h.example.", "HTTPS://H.example/x"])
def test_one_host_is_one_place(start: StartDaemon, url: str) -> None:
    """However it is written; keys and credentials belong to it."""
    daemon = start(BACKEND_URL=url)
    assert daemon.result("core.health")["baseUrl"] == "https://h.example"


def test_a_new_sandbox_knows_no_old_keys(start: StartDaemon) -> None:
    """What it charged is gone with it."""
    made = [start("--sandbox").result(TOP_UP, KEYED)["result"]["url"] for _ in range(2)]
    assert made[0] != made[1]
