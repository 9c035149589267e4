"""Tenants stay apart: two accounts and two hosted APIs in one process, one home, the same keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from openhuman_core.app import App
from openhuman_core.backend.credentials import Credentials
from openhuman_core.backend.store import Entry
from openhuman_core.errors import SessionExpired
from openhuman_core.settings import Settings
from tests.conftest import StartDaemon
from tests.support.daemon import Daemon
from tests.support.recorder import Recorder, answer, ok

TOP_UP = {"amountUsd": 25, "idempotencyKey": "k"}
USERS = ("ada", "bob")


@pytest.fixture
def other() -> Iterator[Recorder]:
    """Give a second hosted API."""
    with Recorder() as recorder:
        yield recorder


def token_of(user: str, name: str = "first") -> str:
    """Make a session token of a user: a JWT that is not signed."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": user, "jti": name}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


def sign_in(daemon: Daemon, user: str, token: str | None = None) -> None:
    """Store a session in place of the one that is stored."""
    daemon.result("openhuman.auth_set_credential", {"token": token or token_of(user)})


def shown(backend: Recorder) -> list[str]:
    """Give the credentials that requests showed."""
    return [seen.headers["authorization"].removeprefix("Bearer ") for seen in backend.seen]


def test_one_key_acts_once_for_each_account(start: StartDaemon, backend: Recorder) -> None:
    """Neither replays nor conflicts with what the other did, and two tokens of one user are one account."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_CREDENTIAL_STORE="file")
    backend.script = [ok({"url": f"https://pay.example/{user}", "gatewayTransactionId": user}) for user in USERS]
    for user in USERS:
        sign_in(daemon, user)
        made = daemon.result("openhuman.billing_top_up", TOP_UP)["result"]
        assert made["gatewayTransactionId"] == user
    assert (
        daemon.error("openhuman.billing_top_up", {**TOP_UP, "amountUsd": 26})["data"]["kind"] == "idempotency_conflict"
    )
    sign_in(daemon, "ada", token_of("ada", "another"))
    again = daemon.result("openhuman.billing_top_up", TOP_UP)
    assert (again["result"]["gatewayTransactionId"], len(again["logs"])) == ("ada", 2)
    assert shown(backend) == [token_of("ada"), token_of("bob")]


@pytest.mark.parametrize("method", ["store_session", "set_credential"])
def test_who_a_caller_says_to_be_shares_nothing(start: StartDaemon, backend: Recorder, method: str) -> None:
    """Only the hosted API's word makes two opaque tokens one account's."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_CREDENTIAL_STORE="file")
    link, verified = ok({"url": "https://pay.example/1", "gatewayTransactionId": "g"}), method == "store_session"
    for name in USERS:
        backend.script = [*[ok({"id": "ada"})] * verified, link]
        daemon.result(f"openhuman.auth_{method}", {"token": f"opaque-token-of-{name}", "userId": "ada"})
        assert len(daemon.result("openhuman.billing_list_payment_links")["result"]) == (verified and name == "bob")
        daemon.result("openhuman.billing_top_up", TOP_UP)
    assert sum(seen.target == "/payments/credits/top-up" for seen in backend.seen) == (1 if verified else 2)


def test_an_account_sees_its_own_records_alone(start: StartDaemon, backend: Recorder) -> None:
    """Keys, links, and what is unknown; and it settles no other's."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_CREDENTIAL_STORE="file")
    sign_in(daemon, "ada")
    backend.default = ok({"url": "https://pay.example/ada", "gatewayTransactionId": "g"})
    daemon.result("openhuman.billing_top_up", TOP_UP)
    backend.default = answer(500, {"success": False})
    daemon.error("openhuman.billing_top_up", {**TOP_UP, "idempotencyKey": "lost"})
    seen = [daemon.result(f"openhuman.{name}")["result"] for name in ("journal_list", "billing_list_payment_links")]
    assert [len(found) for found in seen] == [2, 1]
    sign_in(daemon, "bob")
    for name in ("journal_list", "billing_list_payment_links"):
        assert daemon.result(f"openhuman.{name}")["result"] == []
    settle = {"idempotencyKey": "lost", "outcome": "not_done"}
    assert daemon.error("openhuman.journal_resolve", settle)["data"]["kind"] == "invalid_params"
    sign_in(daemon, "ada")
    assert daemon.result("openhuman.journal_resolve", settle)["result"]["state"] != "unknown"


def test_an_expected_user_holds_for_whoever_signs_in(start: StartDaemon, backend: Recorder) -> None:
    """The answer for one credential is not taken for another's."""
    daemon = start("--expect-user", "ada", BACKEND_URL=backend.url, OPENHUMAN_CREDENTIAL_STORE="file")
    sign_in(daemon, "ada")
    backend.script = [ok({"_id": "ada"}), ok({}), ok({"_id": "bob"})]
    daemon.result("openhuman.billing_create_portal_session")
    sign_in(daemon, "bob")
    assert daemon.error("openhuman.billing_create_portal_session")["data"]["kind"] == "policy_denied"
    assert [seen.verb for seen in backend.seen] == ["GET", "POST", "GET"]


@pytest.mark.anyio
async def test_two_hosted_apis_in_one_process_share_neither_credential_nor_records(
    home: Any, backend: Recorder, other: Recorder
) -> None:
    """A token stored for the one is not there for the other, and a key used at the one is free at the other."""
    for recorder in (backend, other):
        recorder.default = ok({"url": recorder.url, "gatewayTransactionId": "g"})
    places = [Settings(home=home, backend_url=recorder.url, credential_store="file") for recorder in (backend, other)]
    async with App(places[0]) as first, App(places[1]) as second:
        await first.call("openhuman.auth_set_credential", {"token": token_of("ada")})
        assert second.backend().credentials.current() is None
        await second.call("openhuman.auth_set_credential", {"token": "key-of-ada", "kind": "api-key"})
        made = [(await app.call("openhuman.billing_top_up", TOP_UP)).value for app in (first, second)]
        assert [json.loads(bytes(value))["url"] for value in made] == [backend.url, other.url]
        listed = [await app.call("openhuman.billing_list_payment_links", {}) for app in (first, second)]
        links: list[Any] = [outcome.value for outcome in listed]
        assert [[link["url"] for link in found] for found in links] == [[backend.url], [other.url]]
    assert shown(backend) == [token_of("ada")]
    assert [seen.headers["x-api-key"] for seen in other.seen] == ["key-of-ada"]


def test_no_answer_leads_a_credential_somewhere_else(start: StartDaemon, backend: Recorder, other: Recorder) -> None:
    """Not by a redirect, to whatever place, and not by a link in it."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_CREDENTIAL_STORE="file")
    sign_in(daemon, "ada")
    for status in (301, 302, 303, 307, 308):
        backend.default = answer(status, {"success": True}, {"location": f"{other.url}/payments/credits/balance"})
        assert daemon.error("openhuman.billing_get_balance")["data"]["kind"] == "bad_backend_response"
    assert other.seen == []


@pytest.mark.anyio
async def test_a_session_that_two_processes_see_refused_is_over_for_both(home: Any) -> None:
    """Each tells its calls so, though only one of them finds it to forget."""
    settings, accepted = Settings(home=home, backend_url="https://a.example", credential_store="file"), 0.0
    first, second = Credentials(settings), Credentials(settings)
    first.store.put(Entry("session", SecretStr("token-of-ada"), settings.base_url(), ""))
    session = second.require(since=accepted)
    for process in (first, second):
        await process.refused(session)
        with pytest.raises(SessionExpired):
            process.require(since=accepted)
