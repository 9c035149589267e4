"""What is sent again, how often and how soon: by effect, as the hosted API sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon
from tests.support.house import new_key
from tests.support.recorder import CLOSE, Recorder, answer, ok
from tests.support.till import Till

# One method of each effect: name and params.
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("openhuman.team_get_team", {"teamId": "t1"}),
    "write": ("openhuman.team_update_team", {"teamId": "t1"}),
    "create": ("openhuman.team_create_team", {"name": "n"}),
    "money": ("openhuman.billing_top_up", {"amountUsd": 5}),
}
MOST_ATTEMPTS = 3
REPEATABLE, ONCE = ("read", "write"), ("create", "money")


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    """Give a hosted API that all tests here share."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def daemon(backend: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon that may try again."""
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t"}
    with Daemon(tmp_path_factory.mktemp("home"), env=env) as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def _fresh(backend: Recorder) -> None:
    """Forget what the test before saw and ordered."""
    backend.seen.clear()
    backend.times.clear()
    backend.script.clear()
    backend.default = ok({})


def refusal(status: int, retry_after: str | None = None) -> bytes:
    """Make an answer that refuses."""
    return answer(status, {"success": False, "error": "no"}, {"retry-after": retry_after} if retry_after else {})


def fail(daemon: Daemon, effect: str, **options: Any) -> tuple[str, int | None]:
    """Make the call of an effect, which must fail; gives the kind and the time after which to try again."""
    name, params = CALLS[effect]
    data = daemon.error(name, {**params, **options})["data"]
    return data["kind"], data.get("retryAfterMs")


@pytest.mark.parametrize(
    "case",
    [
        *[(REPEATABLE, refusal(s, "0"), MOST_ATTEMPTS, ("backend_unavailable", 0)) for s in (500, 502, 503, 504)],
        (REPEATABLE, refusal(408, "0"), MOST_ATTEMPTS, ("rejected", 0)),
        (REPEATABLE, refusal(429, "0"), MOST_ATTEMPTS, ("rate_limited", 0)),
        (REPEATABLE, refusal(429, "31"), 1, ("rate_limited", 31_000)),
        (REPEATABLE, refusal(400, "0"), 1, ("rejected", 0)),
        (REPEATABLE, refusal(409, "0"), 1, ("conflict", 0)),
        (REPEATABLE, refusal(501, "0"), 1, ("backend_unavailable", 0)),
        (REPEATABLE, answer(raw=b"<html>"), 1, ("bad_backend_response", None)),
        (ONCE, refusal(429, "0"), MOST_ATTEMPTS, ("rate_limited", 0)),
        (ONCE, refusal(503, "0"), MOST_ATTEMPTS, ("outcome_unknown", None)),
        (ONCE, refusal(429, "3"), 1, ("rate_limited", 3000)),
        (ONCE, refusal(503, "3"), 1, ("outcome_unknown", None)),
        (ONCE, refusal(429), 1, ("rate_limited", None)),
        *[(ONCE, refusal(status), 1, ("outcome_unknown", None)) for status in (500, 503, 504)],
        (ONCE, refusal(502, "0"), 1, ("outcome_unknown", None)),
        (ONCE, CLOSE, 1, ("outcome_unknown", None)),
        (ONCE, answer(headers={"content-length": "9"}, raw=b"{"), 1, ("outcome_unknown", None)),
        (("money",), refusal(408, "0"), 1, ("outcome_unknown", None)),
        (("create",), refusal(408, "0"), 1, ("rejected", 0)),
    ],
)
@pytest.mark.parametrize("has_key", [False, True], ids=["no key", "key"])
def test_how_often_a_call_is_made(
    daemon: Daemon, backend: Recorder, case: tuple[tuple[str, ...], bytes, int, tuple[str, int]], *, has_key: bool
) -> None:
    """A key changes nothing of it; all attempts of a call have the same one."""
    effects, reply, attempts, told = case
    for effect in effects:
        options = {"idempotencyKey": new_key()} if has_key and effect != "read" else {}
        backend.default = reply
        backend.seen.clear()
        assert fail(daemon, effect, **options) == told
        keys = [seen.headers.get("idempotency-key") for seen in backend.seen]
        assert keys == [options.get("idempotencyKey")] * attempts


def test_a_lost_read_is_made_three_times(daemon: Daemon, backend: Recorder) -> None:
    """With pauses of the program's own, which are random."""
    backend.default = CLOSE
    assert fail(daemon, "read") == ("backend_unavailable", None)
    assert len(backend.seen) == MOST_ATTEMPTS


@pytest.mark.parametrize("effect", ["read", "money"])
def test_a_pause_that_is_asked_for_is_kept(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """Nobody comes back earlier than a Retry-After says."""
    backend.script = [refusal(503, "1"), refusal(429, "0")]
    name, params = CALLS[effect]
    daemon.result(name, params)
    assert len(backend.seen) == 3
    first, second, _ = backend.times
    assert second - first >= 1


@pytest.mark.parametrize("effect", CALLS)
def test_no_pause_goes_past_the_callers_deadline(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """The call ends with what it knows, and with the time after which to try again."""
    backend.default = refusal(429, "2")
    assert fail(daemon, effect, timeoutMs=1500) == ("rate_limited", 2000)
    assert len(backend.seen) == 1


def test_nothing_is_made_again_without_retries(start: StartDaemon, backend: Recorder) -> None:
    """`--no-retries` holds for every effect."""
    daemon = start("--no-retries", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    backend.default = refusal(503, "0")
    told = [fail(daemon, effect)[0] for effect in CALLS]
    assert told == [*["backend_unavailable"] * 2, *["outcome_unknown"] * 2]
    assert len(backend.seen) == len(CALLS)


def test_a_payment_that_never_connected_is_made_again(start: StartDaemon) -> None:
    """The key is free, and nobody has to settle anything."""
    with Till(listening=False) as till:
        daemon = start(BACKEND_URL=till.url, OPENHUMAN_TOKEN="t")
        params = {"amountUsd": 5, "idempotencyKey": "k"}
        refused = daemon.error("openhuman.billing_top_up", params)["data"]
        assert (refused["kind"], refused["moneyMoved"]) == ("backend_unavailable", "no")
        till.listen()
        made = daemon.result("openhuman.billing_top_up", params)["result"]
        assert (made["gatewayTransactionId"], till.charges) == ("g1", {"k": 1})
