"""What the operator denies is refused before anything is asked, and is visible to who asks what there is."""

from __future__ import annotations

from typing import Any

import pytest

from openhuman_core import app
from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, run
from tests.support.recorder import Recorder, ok

METHODS = {method.name: method for method in app.registry().all()}
TOP_UP, BALANCE = "openhuman.billing_top_up", "openhuman.billing_get_balance"


def denied(daemon: Daemon) -> dict[str, str]:
    """Give the methods that `rpc.discover` shows as denied, with the reason."""
    methods = daemon.result("rpc.discover")["methods"]
    return {method["name"]: method["x-denied"] for method in methods if "x-denied" in method}


def test_read_only_refuses_all_that_writes(start: StartDaemon, backend: Recorder) -> None:
    """Before a credential is looked for, and after the params were checked."""
    daemon = start("--read-only", BACKEND_URL=backend.url)
    assert denied(daemon) == {name: "read-only" for name, method in METHODS.items() if method.effect != "read"}
    assert daemon.error(TOP_UP, {"amountUsd": 0})["data"]["kind"] == "invalid_params"
    assert daemon.error(TOP_UP, {"amountUsd": 5}) == {
        "code": -32014,
        "message": "openhuman.billing_top_up is denied by this program's policy: read-only",
        "data": {
            "kind": "policy_denied",
            "retryable": False,
            "hint": "Ask the operator of this program, or call a method that rpc.discover does not show as denied.",
            "moneyMoved": "no",
        },
    }
    assert daemon.error(BALANCE)["data"]["kind"] == "unauthenticated"
    assert backend.seen == []


def test_no_secrets_refuses_what_returns_one(start: StartDaemon) -> None:
    """The session token of the store too."""
    daemon = start("--no-secrets", "--sandbox")
    assert denied(daemon) == {name: "no secrets" for name, method in METHODS.items() if method.secret}
    for method, params in {
        "openhuman.auth_get_session_token": {},
        "openhuman.api_keys_create": {"name": "n"},
        "openhuman.billing_create_setup_intent": {},
        "openhuman.auth_consume_login_token": {"loginToken": "sandbox-login"},
    }.items():
        assert daemon.error(method, params)["data"]["kind"] == "policy_denied"


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (["--allow", "team_*"], lambda name: name.startswith("team_")),
        (
            ["--allow", "team_*,billing_get_balance"],
            lambda name: name.startswith("team_") or name == "billing_get_balance",
        ),
        (["--deny", "team_*"], lambda name: not name.startswith("team_")),
        (
            ["--allow", "team_*", "--deny", "team_delete_team"],
            lambda name: name.startswith("team_") and name != "team_delete_team",
        ),
        (["--allow", "openhuman.team_get_team"], lambda name: name == "team_get_team"),
        (
            ["--deny", "team_delete_team", "--deny=team_get_team"],
            lambda n: n not in ("team_delete_team", "team_get_team"),
        ),
    ],
    ids=["one", "two", "all but", "but one", "whole name", "twice"],
)
def test_patterns_allow_and_deny(start: StartDaemon, flags: list[str], allowed: Any) -> None:
    """What is denied is denied though it be allowed."""
    daemon = start(*flags)
    assert set(denied(daemon)) == {name for name in METHODS if not allowed(name.removeprefix("openhuman."))}


def test_health_shows_the_policy(start: StartDaemon) -> None:
    """What is not set is not there."""
    flags = [
        "--read-only",
        "--no-secrets",
        "--allow",
        "team_*",
        "--deny",
        "billing_top_up,b*_get_*",
        "--max-spend-usd",
        "12.50",
    ]
    assert start(*flags).result("core.health")["policy"] == {
        "readOnly": True,
        "noSecrets": True,
        "allow": ["team_*"],
        "deny": ["billing_top_up", "b*_get_*"],
        "maxSpendUsd": "12.50",
    }
    assert start().result("core.health")["policy"] == {}


@pytest.mark.parametrize("patterns", ["a b", "team_*,,x", "/", "$(x)"])
def test_a_pattern_that_is_none_stops_the_start(home: Any, patterns: str) -> None:
    """A typing error must not allow what was to be denied."""
    done = run(home, "serve", "--deny", patterns)
    assert (done.returncode, done.stdout, b"--deny" in done.stderr) == (2, b"", True)


def test_the_environment_limits_commands_too(home: Any, backend: Recorder) -> None:
    """Exit code 5, and nothing is sent."""
    backend.default = ok({})
    variables = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "t", "OPENHUMAN_READ_ONLY": "1"}
    done = run(home, "team", "create-team", "--name", "n", stdin=b"", **variables)
    assert (done.returncode, done.stdout, backend.seen) == (5, b"", [])
    assert run(home, "billing", "get-balance", stdin=b"", **variables).returncode == 0


@pytest.mark.parametrize("pattern", ["team.delete_team", "team-delete-team", "delete_team", "TEAM_DELETE_TEAM"])
def test_a_pattern_that_no_method_matches_stops_the_start(home: Any, pattern: str) -> None:
    """It would limit nothing."""
    done = run(home, "serve", "--deny", f"team_*,{pattern}")
    assert (done.returncode, done.stdout, pattern.encode() in done.stderr) == (1, b"", True)
