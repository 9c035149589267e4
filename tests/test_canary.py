"""Marked secrets and personal data go through all of the program, and no byte of them is where it should not be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import ALL_METHODS, Row
from tests.support.canary import PERSONAL, TOKENS, Canary
from tests.support.daemon import Daemon, run
from tests.support.recorder import CLOSE, Recorder, answer

LEVELS = ["error", "warning", "info", "debug"]
REFUSALS = [400, 401, 403, 404, 408, 409, 429, 503]
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def canary() -> Canary:
    """Give the marked values of this run."""
    return Canary()


@pytest.fixture
def home(tmp_path: Path, canary: Canary) -> Path:
    """Give a home whose name is a person's."""
    return tmp_path / canary.of("file")


def answers(canary: Canary) -> Iterator[tuple[str, bytes]]:
    """Make each way in which the hosted API may answer, all of it marked; the first goes well."""
    headers = {
        "set-cookie": f"sid={canary.of('header')}",
        "x-request-id": f"{canary.of('header')} {canary.session}",
        "location": canary.link,
        "retry-after": canary.of("header"),
    }
    everything = {**canary.everything, "status": f"PENDING {canary.of('name')}"}
    said = " ".join(canary.texts[name] for name in ("headers", "query", "jwt", "keys", "address", "card", "pairs"))
    refusal = {
        "success": False,
        "error": said,
        "errorCode": said,
        "details": {**everything, "more": [everything, said]},
    }
    yield "ok", answer(200, {"success": True, "data": everything}, headers)
    yield "a list", answer(200, {"success": True, "data": [everything]}, headers)
    yield "bare", answer(200, everything, headers)
    for status in REFUSALS:
        yield str(status), answer(status, refusal, headers)
    yield "a message", answer(400, {"success": False, "message": said}, headers)
    yield "refused with 200", answer(200, refusal, headers)
    yield "redirected", answer(302, refusal, headers)
    for status in (200, 404, 502):
        yield f"HTML {status}", answer(status, headers=headers, raw=f"<h1>{said}</h1>".encode())
    yield "cut", answer(200, {"success": True, "data": everything}, headers)[:-20]
    yield "no HTTP", f"{said}\r\n\r\n".encode()
    yield "nothing", CLOSE


def planted(canary: Canary, row: Row, *, keyed: bool) -> Iterator[dict[str, Any]]:
    """Make a method's params of its examples, with what is marked in place of what is not."""
    for example in row.examples:
        params = {name: canary.params.get(name, value) for name, value in example.params.items()}
        if row.name == "openhuman.journal_resolve":
            yield {**params, "idempotencyKey": f"{canary.of('key')}"}
        elif keyed and row.effect != "read":
            yield {**params, "idempotencyKey": f"invite:{canary.email}:{canary.of('key')}:{next(_NUMBERS)}"}
        elif not keyed:
            yield params


def drive(daemon: Daemon, backend: Recorder, canary: Canary, ways: list[tuple[str, bytes]]) -> list[bytes]:
    """Call every method, with each answer, with and without a key; gives the errors."""
    errors = []
    for _, reply in ways:
        backend.default = reply
        for row in ALL_METHODS:
            for params in (*planted(canary, row, keyed=False), *planted(canary, row, keyed=True)):
                answered = daemon.ask(row.name, params)
                if "error" in answered:
                    errors.append(json.dumps(answered["error"]).encode())
    wrong: tuple[Any, ...] = (
        {canary.email: canary.session},
        [canary.session],
        {"teamId": [canary.session], "limit": canary.session},
    )
    for row, params in itertools.product(ALL_METHODS, wrong):
        errors.append(json.dumps(daemon.ask(row.name, params).get("error")).encode())
    return errors


def told_wrongly(canary: Canary, errors: list[bytes]) -> set[str]:
    """Name the tokens that are in an error; what else the hosted API says is the caller's to read."""
    return set().union(*map(canary.found_in, errors)) & {*TOKENS, "any"}


def logged(stderr: bytes) -> bytes:
    """Give the log's part of what a command says; the rest is for the person who called it, and may name a file."""
    return b"".join(line for line in stderr.splitlines() if line.startswith(b'{"time"'))


def kept_in(home: Path, canary: Canary) -> dict[str, set[str]]:
    """Name what is in the files of a home, and in their names: the journal with what is not yet merged into it, too."""
    files = {path.relative_to(home): path for path in home.rglob("*") if path.is_file()}
    assert files
    found = {str(name): canary.found_in(path.read_bytes() + bytes(name)) for name, path in files.items()}
    return {name: kinds for name, kinds in found.items() if kinds}


def test_each_mark_is_found_whatever_its_spelling(canary: Canary) -> None:
    """Or the tests here would prove nothing."""
    everything = {**canary.everything, "header": canary.of("header"), "file": canary.of("file")}
    for text in (json.dumps(everything), str(everything).upper()):
        assert canary.found_in(text.encode()) - {"any"} == TOKENS | PERSONAL
    for text in (canary.session, canary.session.split(".")[1]):
        assert "session" in canary.found_in(text.encode())
    assert canary.found_in(b"a log that holds nothing") == set()


@pytest.mark.parametrize("level", LEVELS)
def test_no_mark_is_in_the_log_the_home_or_an_error_of_the_daemon(
    home: Path, tmp_path: Path, backend: Recorder, canary: Canary, level: str
) -> None:
    """At any level, of any method, whatever the hosted API answers, and whatever libraries log meanwhile."""
    ways = [*answers(canary)] if level == "debug" else [*answers(canary)][:4]
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": canary.session, **canary.plant(tmp_path / "x", home)}
    trail = tmp_path / "trail"
    with Daemon(home, "--log-level", level, "--no-retries", "--audit", str(trail), env=env) as daemon:
        errors = drive(daemon, backend, canary, ways)
        assert kept_in(home, canary) == {}
        assert daemon.end() == 0
    assert told_wrongly(canary, errors) == set()
    assert canary.found_in(daemon.log().encode()) == set()
    assert kept_in(home, canary) == {}
    assert all(json.loads(line)["message"] is not None for line in daemon.log().splitlines())
    assert len(daemon.log()) > 10_000
    # The caller's own name for a call, and the hosted API's, are what a trail is for.
    assert canary.found_in(trail.read_bytes()) == {"key", "header"}


@pytest.mark.parametrize("kind", ["session", "api-key"])
def test_no_mark_is_left_by_a_credential_that_is_stored_and_refused(
    home: Path, tmp_path: Path, backend: Recorder, canary: Canary, kind: str
) -> None:
    """Nor by a program that is killed with calls under way."""
    secret = canary.session if kind == "session" else canary.api_key
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_CREDENTIAL_STORE": "file", **canary.plant(tmp_path / "x", home)}
    replies = dict(answers(canary))
    with Daemon(home, "--log-level", "debug", "--no-retries", env=env) as daemon:
        daemon.result("openhuman.auth_set_credential", {"user": canary.everything, "token": secret, "kind": kind})
        backend.default = replies["ok"]
        daemon.result("openhuman.auth_store_session", {"token": canary.session, "user": canary.everything})
        daemon.result("openhuman.billing_top_up", {"amountUsd": 5, "idempotencyKey": canary.of("key")})
        assert kept_in(home, canary) == {}
        backend.default = replies["401"]
        errors = [json.dumps(daemon.error("openhuman.billing_get_balance")).encode() for _ in range(2)]
        daemon.process.kill()
        daemon.process.wait()
    assert told_wrongly(canary, errors) == set()
    assert canary.found_in(daemon.log().encode()) == set()
    assert kept_in(home, canary) == {}


def test_no_mark_is_in_what_is_told_of_a_bug(home: Path, tmp_path: Path, backend: Recorder, canary: Canary) -> None:
    """An exception that nobody foresaw may hold the request."""
    plan = canary.plant(tmp_path / "x", home, breaks=True)
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_API_KEY": canary.api_key, **plan}
    with Daemon(home, "--log-level", "debug", env=env) as daemon:
        errors = drive(daemon, backend, canary, [("never sent", b"")])
        assert daemon.result("core.health")["errors"]["internal_error"] > 30
        daemon.end()
    assert set().union(*map(canary.found_in, (e for e in errors if b"internal error" in e))) == set()
    assert canary.found_in(daemon.log().encode()) == set()
    assert kept_in(home, canary) == {}


def test_the_marks_are_found_where_the_redaction_is_off(
    home: Path, tmp_path: Path, backend: Recorder, canary: Canary
) -> None:
    """What is known by its key and what is known by its shape: each alone would be missed."""
    plan = canary.plant(tmp_path / "x", home, uncovered=True)
    with Daemon(home, "--log-level", "debug", env={"BACKEND_URL": backend.url, **plan}) as daemon:
        daemon.result("core.ping")
        daemon.end()
    log = daemon.log().encode()
    assert canary.found_in(log) - {"any"} == TOKENS | PERSONAL
    lines = log.splitlines()
    for message in ("fields", "extra", "bug", "never retrieved", "stray_stdout"):
        assert any(canary.found_in(line) for line in lines if json.loads(line)["message"] == message), message
    for name, text in canary.texts.items():
        assert any(json.dumps(text)[1:-1].encode() in line for line in lines), name


BATCH_MODES = ["ok", "409", "503", "HTML 200", "nothing"]


@pytest.mark.parametrize("mode", BATCH_MODES)
def test_no_mark_is_in_what_a_bulk_run_leaves_behind(
    home: Path, tmp_path: Path, backend: Recorder, canary: Canary, mode: str
) -> None:
    """Neither in its state nor in what it says beside its results."""
    backend.default = dict(answers(canary))[mode]
    rows = [
        {"method": row.name, "params": params, "id": number}
        for row in ALL_METHODS
        for keyed in (False, True)
        for number, params in enumerate(planted(canary, row, keyed=keyed))
    ]
    file = tmp_path / f"{canary.of('file')}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (*rows, {"method": canary.session}, canary.session)))
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": canary.session, "OPENHUMAN_NO_RETRIES": "1"}
    done = run(home, "batch", str(file), "--yes", stdin=b"", **{**env, **canary.plant(tmp_path / "x", home)})
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(rows) + 2
    assert told_wrongly(canary, [json.dumps(row).encode() for row in told if not row["ok"]]) == set()
    assert told_wrongly(canary, [done.stderr]) == set()
    assert canary.found_in(logged(done.stderr)) == set()
    assert kept_in(home, canary) == {}


COMMANDS: list[tuple[list[str], str]] = [
    (["auth", "login", "--token-stdin"], "session"),
    (["auth", "login", "--kind", "api-key", "--token-stdin"], "api_key"),
    (["auth", "login", "--token-file", "<file>"], ""),
    (["auth", "consume-login-token", "--login-token-stdin"], "login"),
    (["team", "send-email-invite", "--team-id", "t", "--email", "<email>", "--idempotency-key", "<email>"], ""),
    (["call", "openhuman.auth_consume_login_token", "--params", '{"loginToken": "<session>"}'], ""),
    (["call", "<session>"], ""),
    (["billing", "redeem-coupon", "--code", "<email>", "<session>"], ""),
    (["billing", "get-balance", "--toekn=<session>"], ""),
    (["billing", "get-balance", "--toekn", "<session>"], ""),
    (["billing", "get-transactions", "--limit", "<session>"], ""),
    (["<session>"], ""),
    (["serve", "<session>"], ""),
    (["serve", "--max-in-flight", "<session>"], ""),
    (["sandbox", "--port", "<session>"], ""),
    (["auth", "status"], ""),
    (["doctor"], ""),
]


@pytest.mark.parametrize(("words", "stdin"), COMMANDS, ids=lambda value: " ".join(value)[:40])
def test_no_token_is_in_what_a_command_says_of_a_failure(
    home: Path, backend: Recorder, canary: Canary, words: list[str], stdin: str
) -> None:
    """Nor any mark in what it logs, and in the home."""
    backend.default = dict(answers(canary))["401" if words[0] == "auth" else "503"]
    secret_file = home.parent / f"token-{canary.of('file')}"
    secret_file.write_text(canary.session)
    values = {"<session>": canary.session, "<email>": canary.email, "<file>": str(secret_file)}
    for name, value in values.items():
        words = [word.replace(name, value) for word in words]
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_NO_RETRIES": "1", "OPENHUMAN_CREDENTIAL_STORE": "file"}
    secret = str(getattr(canary, stdin)) if stdin else ""
    done = run(home, *words, stdin=secret.encode(), **env, **canary.plant(home.parent / "x", home))
    lines = done.stderr.splitlines()
    assert told_wrongly(canary, [*lines, done.stdout]) == set()
    assert canary.found_in(logged(done.stderr)) == set()
    assert [path for path in home.rglob("*") if path.is_file()] == [] or kept_in(home, canary) == {}
