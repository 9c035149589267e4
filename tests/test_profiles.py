"""Profiles: each has its own credential, base URL, journal and limits, and a call never mixes two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, run
from tests.support.recorder import Recorder, ok

FILE = {"OPENHUMAN_CREDENTIAL_STORE": "file"}


def directory(home: Path, profile: str) -> Path:
    """Give where a profile is kept."""
    return home / "core" if profile == "default" else home / "core" / "profiles" / profile


def configure(home: Path, owner: str, **settings: str) -> None:
    """Write a profile's config file."""
    directory(home, owner).mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    (directory(home, owner) / "config.toml").write_text("".join(lines), encoding="utf-8")


def store(daemon: Daemon, token: str, **params: Any) -> None:
    """Store a session without asking the hosted API."""
    daemon.result("openhuman.auth_set_credential", {"token": token, **params})


def test_two_profiles_share_nothing(start: StartDaemon, home: Path, backend: Recorder) -> None:
    """Two accounts, two hosted APIs, one key used in both, one home."""
    with Recorder() as other:
        other.default = ok({"url": "https://pay.example/2", "gatewayTransactionId": "g2"})
        backend.default = ok({"url": "https://pay.example/1", "gatewayTransactionId": "g1"})
        configure(home, "default", api_url=backend.url)
        configure(home, "work", api_url=other.url, max_spend_usd="30")
        first, second = start(**FILE), start("--profile", "work", **FILE)
        store(first, "first-token")
        store(second, "second-token")
        top_up = {"amountUsd": 25, "idempotencyKey": "k"}
        made = [core.result("openhuman.billing_top_up", top_up)["result"] for core in (first, second)]
        assert [link["gatewayTransactionId"] for link in made] == ["g1", "g2"]
        assert [seen.headers["authorization"] for seen in backend.seen] == ["Bearer first-token"]
        assert [seen.headers["authorization"] for seen in other.seen] == ["Bearer second-token"]
        links = [core.result("openhuman.billing_list_payment_links")["result"] for core in (first, second)]
        assert [[link["url"] for link in found] for found in links] == [
            ["https://pay.example/1"],
            ["https://pay.example/2"],
        ]
        assert second.error("openhuman.billing_top_up", {"amountUsd": 25})["data"]["kind"] == "policy_denied"
        first.result("openhuman.billing_top_up", {"amountUsd": 25})
        health = [core.result("core.health") for core in (first, second)]
        assert [(state["profile"], state["baseUrl"]) for state in health] == [
            ("default", backend.url),
            ("work", other.url),
        ]
        states = [core.result("openhuman.auth_get_state")["result"]["profileId"] for core in (first, second)]
        assert states == ["app-session:default", "app-session:work"]
        second.result("openhuman.auth_clear_credential")
        assert first.result("openhuman.auth_get_session_token")["result"] == {"token": "first-token"}


def test_the_other_profiles_settings_are_no_defaults(start: StartDaemon, home: Path, backend: Recorder) -> None:
    """A profile without a base URL asks the hosted API, not the default profile's."""
    configure(home, "default", api_url=backend.url, read_only="true")
    health = start("--profile", "work").result("core.health")
    assert health["baseUrl"] == "https://api.tinyhumans.ai"
    assert health["policy"] == {}


def test_a_command_takes_the_profile_as_an_option_and_from_the_environment(home: Path, backend: Recorder) -> None:
    """The option wins."""
    for profile in ("work", "home"):
        configure(home, profile, api_url=backend.url)
        done = run(home, "auth", "login", "--kind", "api-key", "--token-stdin", "--profile", profile,
                   stdin=f"key-of-{profile}".encode(), **FILE)  # fmt: skip
        assert done.returncode == 0
    backend.seen.clear()
    work = {"OPENHUMAN_PROFILE": "work"}
    for words, variables in ((["--profile", "home"], {}), ([], work), (["--profile", "home"], work)):
        assert run(home, "team", "list-teams", *words, stdin=b"", **FILE, **variables).returncode == 0
    shown = [seen.headers["x-api-key"] for seen in backend.seen]
    assert shown == ["key-of-home", "key-of-work", "key-of-home"]
    assert run(home, "team", "list-teams", stdin=b"", **FILE).returncode == 4


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", ".", "..", "-x", "Work", "ü", "a b", "x" * 65, "a\n"])
def test_a_name_that_is_no_plain_word_is_refused(home: Path, name: str) -> None:
    """It would be a directory somewhere else, or the same one on some systems; nothing is made."""
    done = run(home, "team", "list-teams", f"--profile={name}", stdin=b"", **FILE)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"lower-case letters" in done.stderr
    assert run(home, "team", "list-teams", stdin=b"", OPENHUMAN_PROFILE=name, **FILE).returncode == 2
    assert [*home.iterdir()] == []


def test_a_profile_is_not_chosen_by_a_file(home: Path) -> None:
    """Not by the config file, which belongs to one, and not by a `.env` that was merely found."""
    configure(home, "default", profile="work")
    done = run(home, "core", "health")
    assert (done.returncode, b"unknown setting profile" in done.stderr) == (2, True)
    configure(home, "default")
    (home / ".env").write_text("OPENHUMAN_PROFILE=work\nOPENHUMAN_CREDENTIAL_STORE=keychain\n", encoding="utf-8")
    assert json.loads(run(home, "core", "health").stdout)["profile"] == "default"


@pytest.mark.parametrize("setting", ["expect_user", "expect_team"])
def test_a_profile_may_say_whose_account_it_is(start: StartDaemon, home: Path, backend: Recorder, setting: str) -> None:
    """The daemon and commands write as that user and in that team only; reads go on."""
    configure(home, "work", api_url=backend.url, **{setting: "x1"})
    env = {"OPENHUMAN_TOKEN": "t", **FILE}
    backend.default = ok({"_id": "x2", "activeTeamId": "x2"})
    daemon = start("--profile", "work", **env)
    for _ in range(2):
        error = daemon.error("openhuman.billing_top_up", {"amountUsd": 25})
        assert (error["data"]["kind"], error["data"]["moneyMoved"]) == ("policy_denied", "no")
    daemon.result("openhuman.billing_get_balance")
    assert [seen.target for seen in backend.seen] == ["/auth/me", "/auth/me", "/payments/credits/balance"]
    words = ("billing", "top-up", "--amount-usd", "25", "--yes", "--profile", "work")
    assert run(home, *words, stdin=b"", **env).returncode == 5
    assert run(home, *words, f"--{setting.replace('_', '-')}", "x2", stdin=b"", **env).returncode == 0
    backend.default = ok({"_id": "x1", "activeTeamId": "x1"})
    assert run(home, *words, stdin=b"", **env).returncode == 0
    assert [seen.verb for seen in backend.seen[3:]] == ["GET", "GET", "POST", "GET", "POST"]


def test_the_active_team_is_asked_for_before_each_write_in_it(start: StartDaemon, backend: Recorder) -> None:
    """It may be switched elsewhere at any time; a write that names its team is judged by that."""
    daemon = start("--expect-team", "t1", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    backend.default = ok({"_id": "u", "activeTeamId": "t1"})
    daemon.result("openhuman.billing_create_portal_session")
    assert daemon.error("openhuman.team_switch_team", {"teamId": "t2"})["data"]["kind"] == "policy_denied"
    daemon.result("openhuman.team_leave_team", {"teamId": "t1"})
    backend.default = ok({"_id": "u", "activeTeamId": "t2"})
    assert daemon.error("openhuman.billing_create_portal_session")["data"]["kind"] == "policy_denied"
    told = [f"{seen.verb} {seen.target}" for seen in backend.seen]
    assert told == ["GET /auth/me", "POST /payments/stripe/portal", "POST /teams/t1/leave", "GET /auth/me"]


def test_the_expected_user_is_asked_for_once(start: StartDaemon, backend: Recorder) -> None:
    """A credential does not change hands."""
    daemon = start("--expect-user", "u", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    backend.default = ok({"_id": "u"})
    for _ in range(3):
        daemon.result("openhuman.billing_create_portal_session")
    assert [seen.verb for seen in backend.seen] == ["GET", "POST", "POST", "POST"]


@pytest.mark.parametrize("option", ["--expect-user", "--expect-team", "--profile", "--audit"])
def test_an_option_that_is_empty_is_not_taken_for_none(home: Path, backend: Recorder, option: str) -> None:
    """A variable of a script that was not set must not switch a guard off."""
    words = ("team", "create-team", "--name", "x", option, "")
    done = run(home, *words, stdin=b"", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    assert (done.returncode, done.stdout, backend.seen) == (2, b"", [])
