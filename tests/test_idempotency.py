"""A key acts once: replays, conflicts, what is unknown, and what is remembered."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, request
from tests.support.recorder import CLOSE, Recorder, answer, ok

REPLAYED = "replayed: this idempotency key was used before"
TOP_UP = {"url": "https://pay.example/1", "gatewayTransactionId": "g1", "amountUsd": 25, "gateway": "stripe"}


def top_up(key: str, amount: float = 25, **more: Any) -> dict[str, Any]:
    """Make the params of a top-up under a key."""
    return {"amountUsd": amount, "idempotencyKey": key, **more}


def test_a_key_replays_its_outcome_across_a_restart(start: StartDaemon, backend: Recorder) -> None:
    """The hosted API is asked once; params count as they are after trimming and defaults."""
    backend.default = ok(TOP_UP)
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t"}
    first = start(**env)
    told = first.result("openhuman.billing_top_up", top_up("k"))
    assert first.end() == 0
    again = start(**env).result("openhuman.billing_top_up", top_up("k", gateway=" STRIPE "))
    assert again == {"result": told["result"], "logs": [*told["logs"], REPLAYED]}
    assert [seen.headers["idempotency-key"] for seen in backend.seen] == ["k"]


def test_a_key_is_for_one_call(daemon: Daemon, backend: Recorder) -> None:
    """Other params, or another method, are a conflict that no network hears of."""
    daemon.result("openhuman.billing_top_up", top_up("k"))
    other = daemon.error("openhuman.billing_top_up", top_up("k", 26))
    method = daemon.error("openhuman.team_create_team", {"name": "n", "idempotencyKey": "k"})
    assert [other["data"]["kind"], method["data"]["kind"]] == ["idempotency_conflict", "idempotency_conflict"]
    assert len(backend.seen) == 1


def test_a_refusal_leaves_the_key_free(daemon: Daemon, backend: Recorder) -> None:
    """A call that surely did nothing may be made again."""
    backend.script = [answer(400, {"success": False, "error": "no"}), ok(TOP_UP)]
    assert daemon.error("openhuman.billing_top_up", top_up("k"))["data"]["moneyMoved"] == "no"
    assert daemon.result("openhuman.billing_top_up", top_up("k"))["result"] == TOP_UP


def test_a_lost_answer_holds_the_key_until_it_is_settled(daemon: Daemon, backend: Recorder) -> None:
    """Used again it is sent to nobody; settled as not done it is free, settled as done it replays as null."""
    backend.script = [CLOSE]
    first = daemon.error("openhuman.billing_top_up", top_up("k"))
    second = daemon.error("openhuman.billing_top_up", top_up("k"))
    assert [first["data"]["kind"], second["data"]["kind"]] == ["outcome_unknown", "outcome_unknown"]
    assert "openhuman.journal_resolve" in second["data"]["hint"]
    assert len(backend.seen) == 1
    listed = daemon.result("openhuman.journal_list", {"state": "unknown"})["result"]
    assert [(entry["idempotencyKey"], entry["state"], entry["attempts"]) for entry in listed] == [("k", "unknown", 1)]
    daemon.result("openhuman.journal_resolve", {"idempotencyKey": "k", "outcome": "done"})
    settled = daemon.result("openhuman.billing_top_up", top_up("k"))
    assert (settled["result"], settled["logs"][0]) == (None, REPLAYED)
    assert len(backend.seen) == 1


def test_a_secret_is_returned_once_and_kept_nowhere(sandbox: Daemon) -> None:
    """A replay of what made a secret is null."""
    params = {"name": "ci", "idempotencyKey": "k"}
    secret = sandbox.result("openhuman.api_keys_create", params)["result"]["key"]
    assert sandbox.result("openhuman.api_keys_create", params)["result"] is None
    files = [path for path in sandbox.home.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_a_spend_limit_holds_before_any_network(start: StartDaemon, backend: Recorder) -> None:
    """What was refused is given back, a replay costs nothing, and what is left is exact."""
    backend.script = [answer(400, {"success": False, "error": "no"})]
    backend.default = ok(TOP_UP)
    daemon = start("--max-spend-usd", "50.30", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.error("openhuman.billing_top_up", {"amountUsd": 50})
    daemon.result("openhuman.billing_top_up", top_up("k", 50.1))
    daemon.result("openhuman.billing_top_up", top_up("k", 50.1))
    denied = daemon.error("openhuman.billing_top_up", {"amountUsd": 0.3})
    assert (denied["data"]["kind"], denied["data"]["moneyMoved"]) == ("policy_denied", "no")
    daemon.result("openhuman.billing_top_up", {"amountUsd": 0.2})
    assert len(backend.seen) == 3


def test_settling_a_key_by_hand_gives_nothing_back_to_the_spend_limit(start: StartDaemon, backend: Recorder) -> None:
    """Whoever the limit is for may settle it falsely, and then there is another call under the key."""
    backend.script = [CLOSE]
    backend.default = ok(TOP_UP)
    daemon = start("--max-spend-usd", "10", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    assert daemon.error("openhuman.billing_top_up", top_up("k", 1))["data"]["kind"] == "outcome_unknown"
    daemon.result("openhuman.journal_resolve", {"idempotencyKey": "k", "outcome": "not_done"})
    denied = daemon.error("openhuman.billing_top_up", top_up("k", 9.5))
    assert denied["message"] == "9.5 USD is more than what is left of the spend limit, 9 USD"
    daemon.result("openhuman.billing_top_up", top_up("k", 9))
    assert len(backend.seen) == 2


def test_links_are_listed_and_followed(sandbox: Daemon) -> None:
    """A link is remembered with what was bought, and with the status that was seen."""
    made = sandbox.result("openhuman.billing_create_coinbase_charge", {"plan": "pro"})["result"]
    charge = made["gatewayTransactionId"]
    sandbox.result("sandbox.settle", {"id": charge, "outcome": "pay"})
    params = {"gatewayTransactionId": charge, "progressToken": "p"}
    assert sandbox.result("openhuman.billing_wait_for_payment", params)["result"]["status"] == "COMPLETED"
    assert sandbox.progress == [{"token": "p", "value": {"status": "COMPLETED"}}]
    (link,) = sandbox.result("openhuman.billing_list_payment_links")["result"]
    assert (link["bought"], link["url"], link["status"]) == ("PRO", made["hostedUrl"], "COMPLETED")


def test_a_damaged_journal_stops_only_calls_with_a_key(start: StartDaemon, backend: Recorder) -> None:
    """Nothing is sent, and nothing is overwritten."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    journal = daemon.home / "core" / "journal.db"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"no database" * 100)
    assert daemon.error("openhuman.billing_top_up", top_up("k"))["data"]["kind"] == "journal_unavailable"
    assert backend.seen == []
    daemon.result("openhuman.billing_top_up", {"amountUsd": 1})
    assert journal.read_bytes() == b"no database" * 100


def test_a_journal_of_an_earlier_version_keeps_its_keys_and_hides_them(start: StartDaemon, backend: Recorder) -> None:
    """A key may be made of an address; what the second version wrote as it was is hidden when the file is opened."""
    backend.default = ok(TOP_UP)
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t"}
    daemon = start(**env)
    told = daemon.result("openhuman.billing_top_up", top_up("invite:ada@example.com"))
    daemon.result("openhuman.billing_list_payment_links")
    assert daemon.end() == 0
    core = daemon.home / "core"
    with closing(sqlite3.connect(core / "journal.db")) as journal, journal:
        journal.execute("UPDATE calls SET key = 'invite:ada@example.com'")
        journal.execute("UPDATE links SET status = 'PAID-BY-ADA'")
        journal.execute("PRAGMA user_version = 2")
    again = start(**env)
    replayed = again.result("openhuman.billing_top_up", top_up("invite:ada@example.com"))
    assert replayed == {"result": told["result"], "logs": [*told["logs"], REPLAYED]}
    (entry,) = again.result("openhuman.journal_list")["result"]
    assert entry["idempotencyKey"] == "invite:ada@example.com"
    (link,) = again.result("openhuman.billing_list_payment_links")["result"]
    assert link["status"] == "PAID-BY-ADA"
    assert again.end() == 0
    for file in core.glob("journal.db*"):
        assert not re.search(rb"ada@example|PAID-BY", file.read_bytes()), file


def test_two_top_ups_at_once_cannot_both_pass_the_limit(start: StartDaemon, backend: Recorder) -> None:
    """The first has its amount reserved before it is sent."""
    backend.default = ok(TOP_UP)
    daemon = start("--max-spend-usd", "50", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    for call_id in range(8):
        daemon.send(request(call_id, "openhuman.billing_top_up", {"amountUsd": 30}))
    kinds = [
        answer.get("error", {}).get("data", {}).get("kind", "ok") for answer in (daemon.answer() for _ in range(8))
    ]
    assert sorted(kinds) == ["ok", *["policy_denied"] * 7]
    assert len(backend.seen) == 1
