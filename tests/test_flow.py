"""Many calls at once: cancelled, overtaken, held back, and none lost."""

from __future__ import annotations

import json
import os
import select
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, request
from tests.support.gate import Gate
from tests.support.recorder import SILENCE, Recorder, ok

BALANCE, TOP_UP = "openhuman.billing_get_balance", "openhuman.billing_top_up"
UPDATE, WAIT = "openhuman.billing_update_auto_recharge", "openhuman.billing_wait_for_payment"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "read": (BALANCE, {}),
    "write": (UPDATE, {"payload": {}}),
    "money": (TOP_UP, {"amountUsd": 25}),
}
MIB = 2**20


def cancel(call_id: Any) -> dict[str, Any]:
    """Make the notification that a call is no longer wanted."""
    return {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": call_id}}


def cancelled(**facts: Any) -> dict[str, Any]:
    """Make the error of a call that was cancelled."""
    data = {"kind": "cancelled", "retryable": True, "hint": "Call again if it is wanted after all.", **facts}
    return {"code": -32800, "message": "the call was cancelled", "data": data}


# Cancellation


@pytest.mark.parametrize("state", ["running", "queued"])
def test_a_cancelled_call_says_what_became_of_it(start: StartDaemon, backend: Recorder, state: str) -> None:
    """Only what was sent may have acted, and only a payment moves money."""
    backend.default = SILENCE
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t"}
    daemon = start(*(["--max-in-flight", "1"] if state == "queued" else []), **env)
    if state == "queued":
        daemon.send(request("first", BALANCE))
        backend.wait_for(1)
    for call_id, (method, params) in CALLS.items():
        daemon.send(request(call_id, method, params))
    if state == "running":
        backend.wait_for(3)
    for call_id in CALLS:
        daemon.send(cancel(call_id))
    errors = {answer["id"]: answer["error"] for answer in (daemon.answer() for _ in CALLS)}
    look = "Look at openhuman.billing_get_transactions before making the call again."
    assert (
        errors
        == {
            "running": {
                "read": cancelled(),
                "write": cancelled(retryable=False, effect="unknown"),
                "money": cancelled(retryable=False, effect="unknown", moneyMoved="unknown", hint=look),
            },
            "queued": {
                "read": cancelled(),
                "write": cancelled(effect="not_sent"),
                "money": cancelled(effect="not_sent", moneyMoved="no"),
            },
        }[state]
    )
    assert len(backend.seen) == {"running": 3, "queued": 1}[state]


def test_a_cancelled_payment_holds_its_key(daemon: Daemon, backend: Recorder) -> None:
    """It is sent to nobody again until it is settled."""
    backend.default = SILENCE
    params = {"amountUsd": 25, "idempotencyKey": "k"}
    daemon.send(request("a", TOP_UP, params))
    backend.wait_for(1)
    daemon.send(cancel("a"))
    told = daemon.answer()["error"]["data"]
    assert (told["effect"], "openhuman.journal_resolve" in told["hint"]) == ("unknown", True)
    assert daemon.error(TOP_UP, params)["data"]["kind"] == "outcome_unknown"
    assert len(backend.seen) == 1


@pytest.mark.parametrize("method", ["core.ping", BALANCE])
def test_a_cancellation_may_come_before_its_call(daemon: Daemon, backend: Recorder, method: str) -> None:
    """It counts once."""
    daemon.send(cancel("a"))
    daemon.send(request("a", method))
    assert daemon.answer() == {"jsonrpc": "2.0", "id": "a", "error": cancelled()}
    daemon.send(request("a", method))
    assert "result" in daemon.answer()
    assert len(backend.seen) == (method == BALANCE)


@pytest.mark.parametrize("method", ["core.ping", BALANCE])
def test_a_cancellation_that_comes_late_harms_nobody(daemon: Daemon, method: str) -> None:
    """Not even a later call that has the same id."""
    for _ in range(2):
        daemon.send(request("a", method))
        assert "result" in daemon.answer()
        daemon.send(cancel("a"))


@pytest.mark.parametrize("params", [None, [], {}, {"id": None}, {"id": {}}, {"id": True}, {"id": "other"}, {"id": 1}])
def test_a_cancellation_of_nothing_is_silent(bare: Daemon, params: Any) -> None:
    """Nobody asked, so nobody is answered."""
    bare.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": params})
    assert bare.result("core.ping") == {"ok": True}


def test_what_is_cancelled_makes_room(start: StartDaemon, backend: Recorder) -> None:
    """The next call runs, on a connection of its own."""
    backend.script = [SILENCE]
    daemon = start("--max-in-flight", "1", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.send(request("a", BALANCE))
    backend.wait_for(1)
    daemon.send([request("b", BALANCE), cancel("a")])
    assert [daemon.answer()["id"], daemon.answer()[0]["result"]["result"]] == ["a", {}]


def test_a_call_that_follows_a_payment_can_be_cancelled(sandbox: Daemon) -> None:
    """Nothing is told of it after its answer."""
    charge = sandbox.result("openhuman.billing_create_coinbase_charge", {"plan": "PRO"})["result"]
    params = {"gatewayTransactionId": charge["gatewayTransactionId"], "progressToken": "p"}
    sandbox.send(request("w", WAIT, params))
    assert sandbox.answer()["params"] == {"token": "p", "value": {"status": "NEW"}}
    sandbox.send(cancel("w"))
    assert sandbox.answer()["error"] == cancelled()
    sandbox.result("sandbox.settle", {"id": charge["gatewayTransactionId"], "outcome": "pay"})
    assert sandbox.progress == []


# Time


def test_a_call_may_run_out_of_time_in_the_queue(start: StartDaemon, gate: Gate) -> None:
    """Its caller has given up by then, so it is not made."""
    daemon = start("--max-in-flight", "1", **gate.env)
    daemon.send(request("a", BALANCE))
    gate.wait_for_request()
    daemon.send(request("b", TOP_UP, {"amountUsd": 1, "timeoutMs": 20}))
    assert daemon.answer() == {
        "jsonrpc": "2.0",
        "id": "b",
        "error": {
            "code": -32010,
            "message": "openhuman.billing_top_up timed out before it was its turn",
            "data": {
                "kind": "backend_timeout",
                "retryable": True,
                "hint": "Call again, with a larger timeoutMs if it happens often.",
                "moneyMoved": "no",
            },
        },
    }


@pytest.mark.parametrize("how", ["end of input", "core.shutdown"])
def test_calls_that_only_wait_end_with_the_input(start: StartDaemon, how: str) -> None:
    """The end is not held up for a payer, and counts as no failure."""
    daemon = start("--sandbox", "--drain-seconds", "600")
    charge = daemon.result("openhuman.billing_create_coinbase_charge", {"plan": "PRO"})["result"]
    daemon.send(request("w", WAIT, {"gatewayTransactionId": charge["gatewayTransactionId"], "progressToken": 1}))
    assert daemon.answer()["method"] == "$/progress"
    if how == "end of input":
        daemon.close_input()
    else:
        daemon.send(request("s", "core.shutdown"))
        assert daemon.answer()["id"] == "s"
    assert daemon.answer()["error"]["data"]["kind"] == "shutting_down"
    assert daemon.process.wait(20) == 0


# Overtaking, and being held back


def test_what_is_answered_inline_overtakes_all_that_waits(start: StartDaemon, backend: Recorder) -> None:
    """However much the hosted API leaves unanswered."""
    backend.default = SILENCE
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.send(b"".join(json.dumps(request(str(n), BALANCE)).encode() + b"\n" for n in range(500)))
    backend.wait_for(100)
    health = daemon.result("core.health")
    assert (health["inFlight"], health["queued"]) == (100, 400)
    assert daemon.result("core.ping") == {"ok": True}
    assert daemon.result("rpc.discover")["openrpc"] == "1.3.2"
    daemon.send(cancel("499"))
    assert daemon.answer()["id"] == "499"


def test_a_short_answer_overtakes_long_ones_that_are_not_begun(start: StartDaemon, backend: Recorder) -> None:
    """One that is begun comes whole first, since nobody could read two at once."""
    backend.default = ok("x" * 5 * MIB)
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.send(b"".join(json.dumps(request(name, BALANCE)).encode() + b"\n" for name in "ab"))
    backend.wait_for(2)
    daemon.log_records("call")
    daemon.send(request("ping", "core.ping"))
    first, second, third = (daemon.answer() for _ in range(3))
    assert second == {"jsonrpc": "2.0", "id": "ping", "result": {"ok": True}}
    page = {"result": "x" * 5 * MIB, "logs": ["credit balance fetched"]}
    assert sorted([first, third], key=lambda answer: str(answer["id"])) == [
        {"jsonrpc": "2.0", "id": name, "result": page} for name in "ab"
    ]


def test_progress_comes_before_its_calls_answer_whatever_its_size(start: StartDaemon, backend: Recorder) -> None:
    """A caller forgets the token once it has the answer."""
    backend.default = ok({"status": "COMPLETED"})
    daemon, token = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t"), "x" * MIB
    daemon.send(request("wait", WAIT, {"gatewayTransactionId": "g", "progressToken": token}))
    first, second = (daemon.answer() for _ in range(2))
    assert (first["method"], first["params"]["token"] == token, second["id"]) == ("$/progress", True, "wait")


def push(daemon: Daemon, data: bytes) -> int:
    """Write until all is taken or nothing more is for a second; gives how many bytes were."""
    assert daemon.process.stdin is not None
    descriptor = daemon.process.stdin.fileno()
    os.set_blocking(descriptor, False)
    sent = 0
    while sent < len(data) and select.select([], [descriptor], [], 1.0)[1]:
        sent += os.write(descriptor, data[sent : sent + select.PIPE_BUF])
    os.set_blocking(descriptor, True)
    return sent


def resident_bytes(daemon: Daemon) -> int:
    """Read how much memory the daemon holds."""
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_pages_that_wait_for_their_reader_do_not_stop_reading(start: StartDaemon, backend: Recorder) -> None:
    """What is answered inline goes out between the first two."""
    backend.default = ok("x" * 5 * MIB)
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.send(b"".join(json.dumps(request(name, BALANCE)).encode() + b"\n" for name in "abc"))
    daemon.log_records("call")
    pings = b"".join(json.dumps(request(n, "core.ping")).encode() + b"\n" for n in range(5_000))
    assert push(daemon, pings) == len(pings)
    first, *between, last_but_one, last = (daemon.answer()["id"] for _ in range(5_003))
    assert (sorted([first, last_but_one, last]), between) == (["a", "b", "c"], [*range(5_000)])


@pytest.mark.parametrize(("count", "size"), [(20_000, 1), (2_000, 100_000)], ids=["many", "large"])
def test_a_flood_is_held_back_and_not_kept(start: StartDaemon, backend: Recorder, count: int, size: int) -> None:
    """What waits is bounded in number and in bytes, and so is the memory beside it."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.result(BALANCE)
    backend.default = SILENCE
    before = resident_bytes(daemon)
    calls = (json.dumps(request(n, UPDATE, {"payload": {"x": "x" * size}})).encode() + b"\n" for n in range(count))
    data = b"".join(calls)
    taken = push(daemon, data)
    # What runs, what waits, what was read but not taken, and what the pipe holds.
    assert taken < min(16 * MIB, (1024 + 100) * len(data) // count) + 256 * 1024
    bodies = 100 * size  # what runs is there a second time, as the body of its request
    assert resident_bytes(daemon) - before < 26 * MIB + bodies


def test_all_that_is_piped_in_is_answered_however_much_it_is(start: StartDaemon, backend: Recorder) -> None:
    """What is held back is not lost, though nobody reads an answer until all is sent."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    data = b"".join(json.dumps(request(n, BALANCE)).encode() + b"\n" for n in range(5_000))
    writer = threading.Thread(target=daemon.send, args=(data,))
    writer.start()
    backend.wait_for(1_000)
    ids = [daemon.answer()["id"] for _ in range(5_000)]
    writer.join(20)
    assert sorted(ids) == list(range(5_000))
    assert len(backend.seen) == 5_000


def test_answers_that_stall_hold_no_other_up(start: StartDaemon, backend: Recorder) -> None:
    """Few large answers are read at a time, but no hosted API that says half of some keeps another from being read."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    half = b'"' + b"x" * 199_999
    # The recorder takes the second length for its own, and keeps the connection open.
    stalled = b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\nx-content-length: 200000\r\n\r\n" + half
    backend.script = [stalled] * 4
    for call_id in "abcd":
        daemon.send(request(call_id, BALANCE))
    backend.wait_for(4)
    daemon.result("core.ping")
    backend.default = ok("x" * 100_000)
    assert daemon.result(BALANCE, {"timeoutMs": 10_000})["result"] == "x" * 100_000
