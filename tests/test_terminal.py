"""The command line as people and scripts run it: on a terminal, through a pipe, cut off, misled, interrupted."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import COMMAND, PATIENCE_SECONDS, environment, run
from tests.support.gate import Gate
from tests.support.house import has_open, until
from tests.support.recorder import SILENCE, Recorder, answer, ok
from tests.support.terminal import Terminal

PAGE = {
    "transactions": [
        {"id": "t1", "type": "EARN", "amountUsd": 1234.5, "createdAt": "2026-03-01T12:00:00.000Z", "action": "TOP_UP"},
        {"id": "t2", "type": "SPEND", "amountUsd": 0.0042, "createdAt": "2026-03-02T12:00:00.000Z", "action": None},
    ],
    "total": 2,
}
SESSION = "a-session-token-of-some-length"


def account(backend: Recorder) -> dict[str, str]:
    """Give the variables of someone signed in at the recording hosted API."""
    return {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "test-token", "OPENHUMAN_NO_RETRIES": "1", "TZ": "UTC"}


def test_a_terminal_shows_a_table(home: Path, backend: Recorder) -> None:
    """Amounts as money, to the last digit, and times in local time."""
    backend.default = ok(PAGE)
    terminal = Terminal(
        home, "billing", "get-transactions", env={**account(backend), "NO_COLOR": "1", "TZ": "Asia/Tokyo"}
    )
    assert terminal.end() == 0
    lines = [line.split() for line in re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown).splitlines() if line.strip()]
    assert lines == [
        ["total", "2"],
        ["transactions:"],
        ["id", "type", "amountUsd", "createdAt", "action"],
        ["t1", "EARN", "$1,234.50", "2026-03-01", "21:00:00", "JST", "TOP_UP"],
        ["t2", "SPEND", "$0.0042", "2026-03-02", "21:00:00", "JST", "-"],
    ]


def test_a_view_shows_every_digit(home: Path, backend: Recorder) -> None:
    """Of money too, and inside a list."""
    data = b'{"success":true,"data":{"aUsd":12345678901234567890.10,"n":0.1000,"list":[1.50,"z\xc3\xb6"],"big":1e400}}'
    backend.default = answer(raw=data)
    terminal = Terminal(home, "billing", "get-balance", env={**account(backend), "TERM": "dumb"})
    assert terminal.end() == 0
    shown = [line.split() for line in terminal.shown.splitlines()]
    assert shown == [
        ["aUsd", "$12,345,678,901,234,567,890.10"],
        ["n", "0.1000"],
        ["list", '[1.50,"z\u00f6"]'],
        ["big", "1e400"],
    ]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_a_result_that_is_nested_deep_is_shown(home: Path, backend: Recorder, opening: str, closing: str) -> None:
    """The payment was made, and its link is what it was made for."""
    made = f'{{"url":"https://pay.example/1","m":{opening * 900}1{closing * 900}}}'
    backend.default = answer(raw=b'{"success":true,"data":%b}' % made.encode())
    terminal = Terminal(home, "billing", "top-up", "--amount-usd", "1", "--yes", env=account(backend))
    assert (terminal.end(), "https://pay.example/1" in terminal.shown) == (0, True)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_nothing_is_cut_off_on_a_narrow_terminal(home: Path, backend: Recorder, columns: int) -> None:
    """What does not fit goes on below."""
    backend.default = ok({"transactions": [{"id": "x" * 60, **{f"n{number}": number for number in range(9)}}]})
    terminal = Terminal(home, "billing", "get-transactions", columns=columns, env=account(backend))
    assert terminal.end() == 0
    assert terminal.shown.count("x") == 60
    assert "…" not in terminal.shown
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown).splitlines())) <= columns


@pytest.mark.parametrize("columns", ["0", "1", "40", "100000", "", "wide", "-5", "1e3", "9" * 30])
def test_an_odd_width_shows_everything_all_the_same(home: Path, backend: Recorder, columns: str) -> None:
    """Whatever a shell left in COLUMNS."""
    backend.default = ok(PAGE)
    variables = {**account(backend), "COLUMNS": columns, "TERM": "dumb"}
    terminal = Terminal(home, "billing", "get-transactions", env=variables)
    assert (terminal.end(), "Traceback" in terminal.shown) == (0, False)
    shown = "".join(terminal.shown.split())
    assert all(text in shown for text in ("$1,234.50", "$0.0042", "TOP_UP"))


@pytest.mark.parametrize(
    "time",
    [
        "99999-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:00+99:99",
        "NaN",
        "-1",
    ],
)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_time_that_no_calendar_has_is_shown_as_it_is(home: Path, backend: Recorder, time: str, zone: str) -> None:
    """And so is one that this machine's zone would push over the end of the calendar."""
    backend.default = answer(
        raw=b'{"success":true,"data":{"at":"%b","since":-62135596801,"until":1e999}}' % time.encode()
    )
    terminal = Terminal(home, "billing", "get-balance", env={**account(backend), "TERM": "dumb", "TZ": zone})
    assert terminal.end() == 0
    lines = [line.split(maxsplit=1) for line in terminal.shown.splitlines()]
    assert [name for name, _ in lines] == ["at", "since", "until"]
    assert lines[0][1].strip() == time
    assert [value.strip() for _, value in lines[1:]] == ["-62135596801", "1e999"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_text_of_the_hosted_api_moves_no_cursor(home: Path, backend: Recorder, options: list[str]) -> None:
    """Nor does it set a title, or turn the direction of writing."""
    evil = "a\x1b]0;title\x07b\u009b2J\u202ec"
    backend.default = answer(body={"success": True, "data": {"name": evil, evil: 1}})
    backend.default = backend.default.replace(b"\\u009b", "\u009b".encode()).replace(b"\\u202e", "\u202e".encode())
    backend.default = re.sub(
        rb"content-length: \d+", b"content-length: %d" % len(backend.default.partition(b"\r\n\r\n")[2]), backend.default
    )
    terminal = Terminal(home, "auth", "get-me", *options, env={**account(backend), "NO_COLOR": "1"})
    assert terminal.end() == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert "title" in shown


@pytest.mark.parametrize(("variables", "styled"), [({}, True), ({"TERM": "dumb"}, False)], ids=str)
def test_colour_is_for_terminals_that_want_it(
    home: Path,
    backend: Recorder,
    variables: dict[str, str],
    styled: bool,  # noqa: FBT001
) -> None:
    """As the two conventions say; bold counts."""
    backend.default = ok(PAGE)
    terminal = Terminal(home, "billing", "get-transactions", env={**account(backend), **variables})
    assert terminal.end() == 0
    assert bool(re.search(r"\x1b\[[0-9;]*3\dm|\x1b\[1m", terminal.shown)) == styled


def test_a_pipe_gets_one_json_document(home: Path, backend: Recorder) -> None:
    """Without being asked for."""
    backend.default = ok(PAGE)
    done = run(home, "billing", "get-transactions", stdin=b"", **account(backend))
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, PAGE, b"")


@pytest.mark.parametrize(("typed", "code", "sent"), [("y", 0, 1), ("n", 13, 0), ("", 13, 0)])
def test_a_payment_is_asked_for_on_a_terminal(home: Path, backend: Recorder, typed: str, code: int, sent: int) -> None:
    """Naming the account, where, and how much."""
    backend.default = ok({"url": "https://pay.example/1"})
    terminal = Terminal(home, "billing", "top-up", "--amount-usd", "25", env=account(backend))
    terminal.wait_for("[y/N]")
    assert all(part in terminal.shown for part in ("billing_top_up", "amountUsd 25", backend.url, "session:"))
    terminal.type(typed)
    assert (terminal.end(), len(backend.seen)) == (code, sent)


def test_signing_in_shows_nothing_of_what_is_typed(home: Path, backend: Recorder) -> None:
    """And status tells its last characters only."""
    backend.default = ok({"_id": "u1", "activeTeamId": "t1"})
    variables = {"BACKEND_URL": backend.url, "NO_COLOR": "1"}
    terminal = Terminal(home, "auth", "login", env=variables)
    terminal.wait_for("Session token")
    terminal.type(SESSION)
    assert (terminal.end(), SESSION in terminal.shown) == (0, False)
    done = run(home, "auth", "status", stdin=b"", **variables)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "isAuthenticated": True,
        "source": "stored",
        "profile": "default",
        "store": "file",
        "storeFile": str(home / "core" / "credentials.json"),
        "baseUrl": backend.url,
        "kind": "session",
        "lastFour": SESSION[-4:],
        "userId": "u1",
        "teamId": "t1",
        "expiresAt": None,
        "problem": None,
    }
    assert run(home, "auth", "logout", stdin=b"", **variables).returncode == 0
    assert run(home, "auth", "status", stdin=b"", **variables).returncode == 4


@pytest.mark.parametrize("kind", ["session", "api-key"])
@pytest.mark.parametrize("way", ["stdin", "file"])
def test_scripts_sign_in_without_a_terminal(home: Path, backend: Recorder, kind: str, way: str) -> None:
    """From stdin or a file, and never by an option that others can see."""
    backend.default = ok({"_id": "u1"})
    home.mkdir()
    (home / "secret").write_text(SESSION + "\n", encoding="utf-8")
    words = ["--token-stdin"] if way == "stdin" else ["--token-file", str(home / "secret")]
    done = run(home, "auth", "login", "--kind", kind, *words, stdin=SESSION.encode(), BACKEND_URL=backend.url)
    assert (done.returncode, SESSION.encode() in done.stdout + done.stderr) == (0, False)
    run(home, "billing", "get-balance", BACKEND_URL=backend.url)
    header = {"session": ("authorization", f"Bearer {SESSION}"), "api-key": ("x-api-key", SESSION)}[kind]
    assert backend.seen[-1].headers[header[0]] == header[1]


def test_a_key_that_is_refused_is_no_sign_in(home: Path, backend: Recorder) -> None:
    """It is stored before it is tried; the exit code is that of `auth status`."""
    backend.default = answer(401, {"success": False, "error": "unknown key"})
    words = ["auth", "login", "--kind", "api-key", "--token-stdin"]
    done = run(home, *words, stdin=SESSION.encode(), BACKEND_URL=backend.url)
    assert (done.returncode, json.loads(done.stdout)["isAuthenticated"]) == (4, False)
    assert run(home, "auth", "status", BACKEND_URL=backend.url).returncode == 4


def test_a_result_that_is_not_kept_does_not_pass_for_none(home: Path, backend: Recorder) -> None:
    """An API key comes back once; the second time a script must not take null for it unseen."""
    backend.default = ok({"key": "ohk_once"})
    words = ["api-keys", "create", "--name", "ci", "--idempotency-key", "k", "--yes", "--query", "key"]
    first, again = (run(home, *words, stdin=b"", **account(backend)) for _ in range(2))
    assert [done.stdout for done in (first, again)] == [b'"ohk_once"\n', b"null\n"]
    assert [b"holds a secret" in done.stderr for done in (first, again)] == [False, True]


@pytest.mark.parametrize(
    ("words", "verb"),
    [(["login"], "GET"), (["login", "--kind", "api-key"], None), (["logout"], None)],
    ids=["a session", "an API key", "signing out"],
)
def test_a_dry_run_signs_nobody_in_or_out(home: Path, backend: Recorder, words: list[str], verb: str | None) -> None:
    """It shows what would be asked, and no token."""
    variables = {"BACKEND_URL": backend.url}
    run(home, "auth", "login", "--kind", "api-key", "--token-stdin", stdin=b"the-stored-key", **variables)
    stored, asked = (home / "core" / "credentials.json").read_bytes(), len(backend.seen)
    options = ["--token-stdin"] if words[0] == "login" else []
    done = run(home, "auth", *words, *options, "--dry-run", stdin=SESSION.encode(), **variables)
    plan = json.loads(done.stdout)
    assert (done.returncode, plan["dryRun"], (plan["request"] or {}).get("verb")) == (0, True, verb)
    assert SESSION.encode() not in done.stdout
    assert ((home / "core" / "credentials.json").read_bytes(), len(backend.seen)) == (stored, asked)


def test_signing_in_where_nobody_can_be_asked_says_how(home: Path) -> None:
    """A prompt would hang a script for ever."""
    done = run(home, "auth", "login")
    assert (done.returncode, b"--token-stdin" in done.stderr) == (2, True)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_ends_nothing_badly(home: Path, backend: Recorder, unbuffered: str) -> None:
    """As `| head -c 10` does, whether or not Python buffers what is printed."""
    backend.default = ok([{"id": "x" * 500_000}])
    home.mkdir()
    words, env = [*COMMAND, "team", "list-teams"], environment(home, PYTHONUNBUFFERED=unbuffered, **account(backend))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=home) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == b'[{"id": "x'
        process.stdout.close()
        assert (process.stderr.read(), process.wait(PATIENCE_SECONDS)) == (b"", 0)


TOP_UP = ("billing", "top-up", "--amount-usd", "5", "--yes")


def run_into(home: Path, words: tuple[str, ...], variables: dict[str, str], redirection: str) -> Any:
    """Run a command as a shell with a redirection does."""
    home.mkdir(exist_ok=True)
    script = f"{shlex.join([*COMMAND, *words])} {redirection}"
    env = environment(home, **variables)
    return subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, env=env, cwd=home, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_is_told(home: Path, backend: Recorder) -> None:
    """In one line; of a payment, that it was made and where to look."""
    done = run_into(home, ("billing", "get-balance"), account(backend), ">/dev/full")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"output_not_written: the output cannot be written: No space left on device" in done.stderr
    paid = run_into(home, (*TOP_UP, "--json"), account(backend), ">/dev/full")
    error = json.loads(paid.stderr)["error"]
    assert (paid.returncode, error["kind"], error["moneyMoved"]) == (1, "output_not_written", "yes")
    assert "`openhuman-core billing list-payment-links`" in error["hint"]


@pytest.mark.parametrize("redirection", [">OUT 2>/dev/full", ">OUT 2>&-", "2>&1 >OUT | true"])
def test_a_payment_does_not_fail_of_its_log_lines(home: Path, backend: Recorder, redirection: str) -> None:
    """Nobody has to read them."""
    backend.default = ok({"url": "https://pay.example/1"})
    out = home.parent / "out"
    done = run_into(home, (*TOP_UP, "-v"), account(backend), redirection.replace("OUT", str(out)))
    assert done.returncode == 0
    assert json.loads(out.read_bytes()) == {"url": "https://pay.example/1"}


@pytest.mark.parametrize(
    "words",
    [
        ("auth", "login"),
        ("auth", "login", "--token-stdin"),
        ("billing", "update-auto-recharge", "--payload", "-"),
        ("call", "openhuman.team_list_teams", "--params", "-"),
        ("batch", "-"),
    ],
    ids=" ".join,
)
def test_a_closed_stdin_is_told(home: Path, backend: Recorder, words: tuple[str, ...]) -> None:
    """It is no bug of the program."""
    done = run_into(home, words, account(backend), "<&-")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n"), backend.seen) == (2, b"", 1, [])


def test_a_secret_that_stands_for_a_file_is_not_repeated(home: Path) -> None:
    """It was put there by mistake, and stderr is often kept."""
    secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
    for words in (
        ("auth", "login", "--token-file", secret),
        ("auth", "store-session", "--token-file", "my-opaque-secret"),
        ("call", "openhuman.auth_store_session", "--params", f'@{{"token": "{secret}"}}'),
        ("team", "list-members", "--team-id", "t", "--query", f"{secret}("),
    ):
        done = run(home, *words, stdin=b"")
        assert (done.returncode, done.stdout) == (2, b"")
        assert [word for word in (secret, "my-opaque-secret") if word.encode() in done.stderr] == []


def test_without_a_stdout_nothing_is_paid(home: Path, backend: Recorder) -> None:
    """Its link would be lost."""
    done = run_into(home, TOP_UP, account(backend), ">&-")
    assert (done.returncode, b"stdout is closed" in done.stderr, backend.seen) == (2, True, [])


def test_a_payment_whose_reader_is_gone_says_that_it_was_made(home: Path, backend: Recorder) -> None:
    """Unlike a read, of which whoever read has enough."""
    backend.default = ok({"url": "x" * 200_000})
    paid = run_into(home, TOP_UP, account(backend), "| true")
    assert b"the call was made, and its result cannot be written" in paid.stderr
    read = run_into(home, ("team", "list-teams"), account(backend), "| true")
    assert read.stderr == b""


@pytest.mark.parametrize(
    "variables",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"COLUMNS": "40"}, {"HOME": "/nonexistent"}],
    ids=["a locale that is not UTF-8", "forty columns", "no home directory"],
)
def test_an_odd_environment_is_no_traceback(home: Path, backend: Recorder, variables: dict[str, str]) -> None:
    """On a terminal as through a pipe."""
    backend.default = ok({"name": "zw\u00f6lf \u2713"})
    everything = {**account(backend), **variables}
    done = run(home, "auth", "get-me", stdin=b"", **everything)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"name": "zw\u00f6lf \u2713"})
    terminal = Terminal(home, "auth", "get-me", env=everything)
    assert (terminal.end(), "Traceback" in terminal.shown) == (0, False)


def test_a_journal_that_cannot_be_written_costs_only_what_needs_it(home: Path, backend: Recorder) -> None:
    """A call with a key is refused before anything is sent; one without works."""
    (home / "core" / "journal.db").mkdir(parents=True)
    words = ["billing", "top-up", "--amount-usd", "1", "--yes"]
    refused = run(home, *words, "--idempotency-key", "k", "--json", stdin=b"", **account(backend))
    assert (refused.returncode, json.loads(refused.stderr)["error"]["kind"]) == (2, "journal_unavailable")
    assert backend.seen == []
    assert run(home, *words, stdin=b"", **account(backend)).returncode == 0


def interrupt(
    home: Path, words: list[str], variables: dict[str, str], came: Any, *numbers: signal.Signals
) -> tuple[int, dict[str, Any]]:
    """Send signals, or press Ctrl-C, once a command's request has come; gives exit code and error."""
    home.mkdir(exist_ok=True)
    env = environment(home, **variables)
    with subprocess.Popen(
        [*COMMAND, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=home
    ) as process:
        came()
        for number in numbers or (signal.SIGINT,):
            process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert out == b""
    return process.returncode, json.loads(err)["error"]


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT] * 20],
    ids=["INT", "TERM", "HUP", "20"],
)
def test_an_interrupted_payment_says_that_it_may_have_been_made(
    home: Path, tmp_path: Path, backend: Recorder, numbers: list[signal.Signals]
) -> None:
    """The journal and the trail know it too, and signals that follow change nothing of it."""
    backend.default = SILENCE
    trail = tmp_path / "audit"
    words = ["billing", "top-up", "--amount-usd", "1", "--yes", "--idempotency-key", "k", "--audit", str(trail)]
    code, error = interrupt(home, words, account(backend), lambda: backend.wait_for(1), *numbers)
    assert (code, error["kind"], error["effect"], error["moneyMoved"]) == (130, "cancelled", "unknown", "unknown")
    listed = run(home, "journal", "list", "--query", "[].[idempotencyKey, state]", stdin=b"", **account(backend))
    assert json.loads(listed.stdout) == [["k", "unknown"]]
    assert [json.loads(line)["outcome"] for line in trail.read_bytes().splitlines()] == ["cancelled"]


def test_a_payment_that_was_made_is_told_whatever_signals_come(home: Path, backend: Recorder) -> None:
    """They come while it waits for another process to leave the journal; the link is kept all the same."""
    link = {"url": "https://pay.example/1", "gatewayTransactionId": "g"}
    backend.default = ok(link)
    words = ["billing", "top-up", "--amount-usd", "1", "--yes"]
    assert run(home, *words, stdin=b"", **account(backend)).returncode == 0
    backend.seen.clear()
    journal = sqlite3.connect(home / "core" / "journal.db", isolation_level=None)
    journal.execute("BEGIN IMMEDIATE")
    env = environment(home, **account(backend))
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        backend.wait_for(1)
        until(lambda: has_open(process, "journal.db"))
        for _ in range(20):
            process.send_signal(signal.SIGINT)
        journal.execute("ROLLBACK")
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    journal.close()
    assert (process.returncode, json.loads(out), err) == (0, link, b"")
    listed = run(home, "billing", "list-payment-links", stdin=b"", **account(backend))
    assert [record["url"] for record in json.loads(listed.stdout)] == [link["url"]] * 2


def test_an_interrupted_read_is_just_interrupted(home: Path, gate: Gate) -> None:
    """Nothing can have come of it."""
    code, error = interrupt(home, ["billing", "get-balance"], gate.env, gate.wait_for_request)
    assert (code, error["kind"], error["retryable"]) == (130, "cancelled", True)


def test_the_doctor_finds_a_healthy_program(home: Path, backend: Recorder) -> None:
    """All that calls depend on."""
    done = run(home, "doctor", stdin=b"", **account(backend))
    checks = json.loads(done.stdout)["checks"]
    assert (done.returncode, [check["check"] for check in checks if check["ok"]]) == (
        0,
        ["program", "interpreter", "settings", "home", "store", "base URL", "hosted API", "credential", "journal"],
    )


def test_the_doctor_says_what_to_do(home: Path) -> None:
    """The first thing that is wrong gives the exit code."""
    done = run(home, "doctor", BACKEND_URL="http://127.0.0.1:9")
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, checks["hosted API"]["ok"], checks["credential"]["ok"]) == (10, False, False)
    assert all(checks[name]["toDo"] for name in ("hosted API", "credential"))


@pytest.mark.parametrize(
    ("file", "content", "variables", "failed", "sent"),
    [
        ("config.toml", "api_url = [", {}, ["settings", "base URL", "hosted API", "credential"], 0),
        ("config.toml", "", {"OPENHUMAN_MAX_BATCH": "x"}, ["settings", "base URL", "hosted API", "credential"], 0),
        ("credentials.json", "{", {}, ["store"], 2),
        ("config.toml", "", {"BACKEND_URL": "ftp://x"}, ["base URL", "hosted API", "credential"], 0),
    ],
    ids=["a file that does not parse", "a variable that is none", "a broken store", "a base URL that is none"],
)
def test_the_doctor_goes_on_where_something_is_broken(  # noqa: PLR0917 - fixtures
    home: Path, backend: Recorder, file: str, content: str, variables: dict[str, str], failed: list[str], sent: int
) -> None:
    """Each thing is a check of its own, and no credential goes where the settings may not mean it to go."""
    backend.default = ok({"_id": "u1"})
    (home / "core").mkdir(parents=True, mode=0o700)
    (home / "core" / file).write_text(content, encoding="utf-8")
    done = run(home, "doctor", "--json", stdin=b"", **{**account(backend), **variables})
    checks = json.loads(done.stdout)["checks"]
    assert (done.returncode, done.stderr) == (2, b"")
    assert [check["check"] for check in checks if not check["ok"]] == failed
    assert all(check["toDo"] for check in checks if not check["ok"])
    assert len(backend.seen) == sent


def test_a_clock_that_is_off_is_noticed(home: Path, backend: Recorder) -> None:
    """Tokens would look over, or not over yet."""
    backend.default = answer(body={"success": True, "data": {}}, headers={"date": "Mon, 01 Jan 2035 00:00:00 GMT"})
    done = run(home, "doctor", stdin=b"", **account(backend))
    assert b"clock" in done.stdout


def test_what_the_terminal_gets_without_a_word_is_help(home: Path) -> None:
    """And the exit code of a usage error."""
    terminal = Terminal(home)
    assert (terminal.end(), "Usage: openhuman-core" in terminal.shown) == (2, True)


def test_an_interrupted_question_says_that_nothing_was_sent(home: Path, backend: Recorder) -> None:
    """It is an answer: no."""
    terminal = Terminal(home, "billing", "top-up", "--amount-usd", "5", env={**account(backend), "NO_COLOR": "1"})
    terminal.wait_for("[y/N]")
    terminal.process.send_signal(signal.SIGINT)
    assert (terminal.end(), backend.seen) == (130, [])
    assert "money moved: no; effect: not_sent" in terminal.shown
