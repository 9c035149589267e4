"""The command line: `call`, `methods`, and help."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openhuman_core import __version__, app
from openhuman_core.settings import FLAGS
from tests.support.daemon import run
from tests.support.recorder import CLOSE, Recorder, answer, ok

BALANCE = "openhuman.billing_get_balance"
TOP_UP = "openhuman.billing_top_up"


def account(backend: Recorder) -> dict[str, str]:
    """Give the variables of someone signed in at the recording hosted API."""
    return {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "test-token"}


def test_call_prints_the_outcome_as_json(home: Path, backend: Recorder) -> None:
    """As a peer of the daemon would see it, and nothing else."""
    backend.script = [answer(body={"success": True, "data": {"promotionBalanceUsd": 5, "name": "zw\u00f6lf"}})]
    done = run(home, "call", BALANCE, stdin=b"", **account(backend))
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == {
        "result": {"promotionBalanceUsd": 5, "name": "zw\u00f6lf"},
        "logs": ["credit balance fetched"],
    }
    assert done.stdout.count(b"\n") == 1


def test_call_sends_the_params_it_is_given(home: Path, backend: Recorder) -> None:
    """They pass the same checks as on the wire."""
    backend.script = [ok({"url": "https://pay"})]
    params = '{"amountUsd": 25, "gateway": " STRIPE "}'
    done = run(home, "call", TOP_UP, "--yes", "--params", params, stdin=b"", **account(backend))
    assert json.loads(done.stdout) == {"result": {"url": "https://pay"}, "logs": ["credit top-up initiated"]}
    assert [(seen.verb, seen.target, json.loads(seen.body)) for seen in backend.seen] == [
        ("POST", "/payments/credits/top-up", {"amountUsd": 25, "gateway": "stripe"})
    ]


def test_call_works_on_the_embedded_sandbox(home: Path) -> None:
    """Signed in as its administrator."""
    done = run(home, "call", "openhuman.auth_get_me", OPENHUMAN_SANDBOX="true")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["result"]["username"] == "sandbox-admin"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["no_such"], "method_not_found: unknown method: no_such (method not found)", id="unknown method"),
        pytest.param(
            [TOP_UP, "--params", '{"amountUsd": 0}'],
            "invalid_params: amountUsd must be a finite number greater than 0",
            id="a bad param",
        ),
        pytest.param(
            [TOP_UP, "--params", "[]"], "invalid_params: invalid params: expected object or null, got array", id="array"
        ),
        pytest.param(
            [BALANCE], "unauthenticated: no backend session token; run auth_store_session first", id="no credential"
        ),
    ],
)
def test_a_failed_call_says_why_on_stderr(home: Path, words: list[str], problem: str) -> None:
    """Kind, message and what to do on one line, and nothing on stdout."""
    done = run(home, "call", *words)
    assert done.returncode != 0
    assert done.stdout == b""
    assert re.fullmatch(rf"openhuman-core: {re.escape(problem)} \(retryable: no; .+\)\n", done.stderr.decode())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(answer(403, {"success": False, "error": "no"}), "forbidden", id="refused"),
        pytest.param(answer(200, raw=b"<html>secret-canary"), "outcome_unknown", id="unreadable"),
        pytest.param(CLOSE, "outcome_unknown", id="lost"),
    ],
)
def test_a_call_that_the_hosted_api_fails_ends_in_its_kind(
    home: Path, backend: Recorder, reply: bytes, kind: str
) -> None:
    """A payment that may have been made is not told as one that was not."""
    backend.script = [reply]
    done = run(home, "call", TOP_UP, "--yes", "--params", '{"amountUsd": 25}', stdin=b"", **account(backend))
    assert done.returncode not in (0, 1)
    assert done.stdout == b""
    assert done.stderr.startswith(b"openhuman-core: %b: " % kind.encode())
    assert b"secret-canary" not in done.stderr
    assert len(backend.seen) == 1


@pytest.mark.parametrize(
    "params", ["{", "", "nonsense", "NaN", '{"a": Infinity}', "{}{}", '{},"id":2', '{"a": "\\ud800"}', "[" * 500]
)
def test_params_that_are_no_json_are_refused(home: Path, params: str) -> None:
    """As strictly as on the wire, whose frame they cannot break out of."""
    done = run(home, "call", TOP_UP, "--params", params)
    assert done.returncode == 2
    assert (done.stdout, done.stderr) == (
        b"",
        b"openhuman-core: invalid_params: --params is not JSON (retryable: no)\n",
    )


def test_methods_lists_every_method(home: Path) -> None:
    """One line each: name, effect and what it does."""
    done = run(home, "methods")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.decode().splitlines()}
    known = {method.name: [method.effect.value, method.summary] for method in app.registry().all()}
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(known) >= 45
    assert {name: row for name, row in rows.items() if name in known} == known
    listed = json.loads(run(home, "methods", "--json").stdout)
    assert {row["method"]: [row["effect"], row["summary"]] for row in listed if row["method"] in known} == known
    assert [row["method"] for row in listed] == [*rows]


def test_version_is_the_program_s(home: Path) -> None:
    """On stdout, after its name."""
    done = run(home, "--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"openhuman-core, version {__version__}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["--help"], ["call", "methods", "sandbox", "serve"], id="the program"),
        pytest.param(["call", "--help"], ["METHOD", "--params"], id="call"),
        pytest.param(["methods", "--help"], ["effect"], id="methods"),
        pytest.param(["sandbox", "--help"], ["--port", "--state"], id="sandbox"),
        pytest.param(["serve", "--help"], [f"--{flag}" for flag in FLAGS], id="serve"),
        pytest.param(["run", "--help"], [f"--{flag}" for flag in FLAGS], id="run, which is serve"),
    ],
)
def test_help_tells_what_there_is(home: Path, words: list[str], told: list[str]) -> None:
    """On stdout, and the exit code is that of success."""
    done = run(home, *words)
    assert (done.returncode, done.stderr) == (0, b"")
    found = set(re.findall(r"[\w-]+", done.stdout.decode()))
    assert set(told) <= found


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["--no-such-option"], ["call"], ["call", BALANCE, "--nope"], ["sandbox", "--port=x"]]
)
def test_words_that_are_off_are_a_usage_error(home: Path, words: list[str]) -> None:
    """Told on stderr, with nothing on stdout."""
    done = run(home, *words)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert re.search(rb"hint: See openhuman-core.* --help", done.stderr)


def test_without_words_the_program_tells_what_there_is(home: Path) -> None:
    """As a usage error does."""
    done = run(home)
    assert done.returncode == 2
    assert b"Usage: openhuman-core" in done.stdout + done.stderr


def test_settings_that_are_off_fail_a_call(home: Path) -> None:
    """And name what to mend."""
    done = run(home, "call", BALANCE, OPENHUMAN_MAX_BATCH="many")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"openhuman-core: configuration: OPENHUMAN_MAX_BATCH: ")


@pytest.mark.parametrize("name", ["damaged", "missing/state", "another's"])
def test_a_state_of_the_sandbox_that_cannot_be_used_is_told(home: Path, tmp_path: Path, name: str) -> None:
    """It is no bug, and what is in it stays."""
    (tmp_path / "damaged").write_bytes(b"no database" * 100)
    with closing(sqlite3.connect(tmp_path / "another's")) as database:
        database.execute("CREATE TABLE documents (a)")
    done = run(home, "sandbox", "--port", "0", "--state", str(tmp_path / name))
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert done.stderr.startswith(b"openhuman-core: configuration: the sandbox's state in ")
    assert (tmp_path / "damaged").read_bytes() == b"no database" * 100
