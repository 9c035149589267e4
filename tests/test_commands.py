"""Every method as a command: what it sends, how it fails, and what a script is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import click
import pytest

from openhuman_core import app
from openhuman_core.cli.failures import EXIT_CODES
from openhuman_core.cli.main import cli
from openhuman_core.cli.main import run as run_command
from openhuman_core.cli.options import params_of
from openhuman_core.cli.text import kebab
from openhuman_core.registry.method import Method
from openhuman_core.registry.openrpc import ERRORS
from openhuman_core.runtime.builtins import BUILTINS
from tests.support.daemon import run as run_process
from tests.support.recorder import CLOSE, Recorder, answer, ok

METHODS = app.registry().all()
ROUTED = [method for method in METHODS if method.route and method.name != "openhuman.billing_wait_for_payment"]
VALUES = {"integer": "7", "number": "25", "object": '{"a": 1}', "secret": "token-token-token"}
HOSTILE = "no\u001b[31m\u009b2J\u202e"


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: bytes
    err: bytes


Run = Callable[..., Done]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], home: Any, backend: Recorder
) -> Run:
    """Run commands in this process, signed in at the recording hosted API."""
    monkeypatch.setenv("OPENHUMAN_WORKSPACE", str(home))
    monkeypatch.setenv("BACKEND_URL", backend.url)
    monkeypatch.setenv("OPENHUMAN_TOKEN", "test-session-token")
    monkeypatch.setenv("OPENHUMAN_NO_RETRIES", "1")

    def run(*words: str) -> Done:
        code = run_command([*words])
        return Done(code, *capfdbinary.readouterr())

    return run


def words_of(method: Method, tmp_path: Any) -> list[str]:
    """Make the words of a command with every param that it needs."""
    words = [kebab(method.namespace.name), kebab(method.function)]
    for param in params_of(method):
        if param.required and param.type == "secret":
            (tmp_path / "secret").write_text(VALUES["secret"], encoding="utf-8")
            words += [f"--{param.option}-file", str(tmp_path / "secret")]
        elif param.required:
            words += [f"--{param.option}", VALUES.get(param.type, "x")]
    return words


def commands(group: click.Group = cli, path: str = "") -> list[tuple[str, click.Command]]:
    """Walk the tree of commands."""
    context = click.Context(group)
    found = [(f"{path} {name}".strip(), group.get_command(context, name)) for name in group.list_commands(context)]
    inner = [entry for name, child in found if isinstance(child, click.Group) for entry in commands(child, name)]
    return [(name, child) for name, child in found if child is not None and not isinstance(child, click.Group)] + inner


def test_every_method_is_a_command_and_every_command_of_a_group_a_method() -> None:
    """Beside the three that sign in and out."""
    known = {f"{kebab(method.namespace.name)} {kebab(method.function)}" for method in METHODS}
    known |= {name.replace(".", " ") for name in BUILTINS}
    found = {name for name, _ in commands() if " " in name}
    assert found == known | {"auth login", "auth status", "auth logout"}


def test_no_secret_is_an_option() -> None:
    """The list of processes shows those to everybody."""
    options = {option for _, command in commands() for param in command.params for option in param.opts}
    assert not {option for option in options if re.search(r"token$|secret$|password$", option)}
    assert {"--token-stdin", "--token-file", "--login-token-stdin", "--login-token-file"} <= options


@pytest.mark.parametrize("method", ROUTED, ids=lambda method: method.name)
def test_a_command_asks_what_its_method_asks(command: Run, backend: Recorder, tmp_path: Any, method: Method) -> None:
    """And prints what came back, as it came."""
    backend.default = answer(raw=b'{"success":true,"data":{"_id":"u","n":1.50}}')
    done = command(*words_of(method, tmp_path), "--yes")
    assert method.route is not None
    assert (done.code, done.err) == (0, b"")
    assert [seen.verb for seen in backend.seen] == [method.route.verb]
    if method.name != "openhuman.auth_store_session":
        assert done.out == b'{"_id":"u","n":1.50}\n'


FAILURES: dict[str, tuple[bytes, str]] = {
    "400": (answer(400, {"success": False, "error": HOSTILE}), "rejected"),
    "401": (answer(401, {"success": False, "error": HOSTILE}), "session_expired"),
    "403": (answer(403, {"success": False, "error": HOSTILE}), "forbidden"),
    "404": (answer(404, {"success": False, "error": HOSTILE}), "not_found"),
    "409": (answer(409, {"success": False, "error": HOSTILE}), "conflict"),
    "429": (answer(429, {"success": False, "error": HOSTILE}), "rate_limited"),
    "500": (answer(500, {"success": False, "error": HOSTILE}), "backend_unavailable"),
    "no JSON": (answer(200, raw=b"<html>\x1b[31m"), "bad_backend_response"),
    "lost": (CLOSE, "backend_unavailable"),
}


def expected_kind(method: Method, failure: str) -> str:
    """Say how a call to the method ends after what the hosted API did."""
    kind = FAILURES[failure][1]
    lost = failure in ("500", "no JSON", "lost") or (failure == "409" and method.effect == "money")
    if lost and not method.effect.repeatable:
        return "outcome_unknown"
    if method.name == "openhuman.auth_store_session" and failure in ("400", "401", "403", "404", "409"):
        return "unauthenticated"
    if method.name == "openhuman.auth_consume_login_token" and failure == "401":
        return "rejected"
    return kind


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ROUTED, ids=lambda method: method.name)
def test_a_command_fails_as_its_kind_says(  # noqa: PLR0917 - fixtures
    command: Run, backend: Recorder, tmp_path: Any, method: Method, failure: str, form: str
) -> None:
    """Exit code, nothing on stdout, and one line on stderr that moves no terminal."""
    backend.default = FAILURES[failure][0]
    done = command(*words_of(method, tmp_path), "--yes", *(["--json"] if form == "json" else []))
    kind = expected_kind(method, failure)
    assert (done.code, done.out, done.err.count(b"\n")) == (EXIT_CODES[kind], b"", 1)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.err.decode())
    if form == "text":
        assert done.err.startswith(b"openhuman-core: %b: " % kind.encode())
    else:
        error = json.loads(done.err)["error"]
        assert (error["kind"], isinstance(error["message"], str), "retryable" in error) == (kind, True, True)
        assert ("moneyMoved" in error) == (method.effect == "money")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["call", "openhuman.no_such"], "Run `openhuman-core methods` for the methods there are."),
        (["billing", "get-balance"], "Sign in with `openhuman-core auth login`, or set OPENHUMAN_API_KEY."),
        (
            ["team", "create-team", "--name", "x", "--idempotency-key", "k"],
            "then settle the key with `openhuman-core journal resolve` (done or not_done).",
        ),
        (["billing", "top-up", "--amount-usd", "9", "--yes"], "Ask the operator to raise OPENHUMAN_MAX_SPEND_USD."),
        (["billing", "delete-card", "--payment-method-id", "x", "--yes"], "Ask the operator of this program."),
    ],
    ids=["no method", "nobody signed in", "an unknown outcome", "a limit", "a denial"],
)
def test_a_hint_names_what_can_be_typed(  # noqa: PLR0917 - fixtures
    command: Run, backend: Recorder, monkeypatch: pytest.MonkeyPatch, words: list[str], hint: str, form: str
) -> None:
    """The daemon's name its methods, which are no commands."""
    monkeypatch.setenv("OPENHUMAN_MAX_SPEND_USD", "1")
    monkeypatch.setenv("OPENHUMAN_DENY", "billing_delete_card")
    if hint.startswith("Sign in"):
        monkeypatch.delenv("OPENHUMAN_TOKEN")
    backend.default = CLOSE
    done = command(*words, *(["--json"] if form == "json" else []))
    assert done.out == b""
    assert hint in (json.loads(done.err)["error"]["hint"] if form == "json" else done.err.decode())


def test_every_kind_of_error_has_an_exit_code() -> None:
    """As `help exit-codes` tells them."""
    assert set(ERRORS) <= set(EXIT_CODES)


ASKING = [method for method in ROUTED if method.asks_first]


@pytest.mark.parametrize("method", ASKING, ids=lambda method: method.name)
def test_what_asks_first_needs_a_yes_where_nobody_can_be_asked(
    command: Run, backend: Recorder, tmp_path: Any, method: Method
) -> None:
    """Nothing is sent; the message names the account, where, and what."""
    done = command(*words_of(method, tmp_path), "--json")
    error = json.loads(done.err)["error"]
    assert (done.code, done.out, error["kind"]) == (13, b"", "confirmation_required")
    assert all(part in error["message"] for part in (method.name, "session:", backend.url))
    assert backend.seen == []


@pytest.mark.parametrize("method", ROUTED, ids=lambda method: method.name)
def test_a_dry_run_sends_nothing(command: Run, backend: Recorder, tmp_path: Any, method: Method) -> None:
    """It shows the request, and covers what is secret."""
    done = command(*words_of(method, tmp_path), "--dry-run")
    plan = json.loads(done.out)
    assert (done.code, plan["dryRun"], plan["route"]) == (0, True, str(method.route))
    assert plan["request"]["url"].startswith(backend.url)
    assert VALUES["secret"].encode() not in done.out
    assert backend.seen == []


@pytest.mark.parametrize("spelling", [["top-up", "--amount-usd"], ["topUp", "--amountUsd"], ["top_up", "--amount_usd"]])
def test_names_may_be_spelled_in_three_ways(command: Run, backend: Recorder, spelling: list[str]) -> None:
    """As people and scripts come to have them."""
    name, option = spelling
    assert command("billing", name, option, "25", "--yes").code == 0
    assert [json.loads(seen.body) for seen in backend.seen] == [{"amountUsd": 25, "gateway": "stripe"}]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["billing", "top-up", "--yes"], "missing required param 'amountUsd': How much credit to buy, in USD."),
        (["billing", "top-up", "--amount-usd", "x"], "invalid params: amountUsd: expected"),
        (["billing", "top-up", "--amount-usd", "0"], "amountUsd must be a finite number greater than 0"),
        (
            ["billing", "top-up", "--amount-usd", "007", "--yes"],
            "invalid params: amountUsd: expected an integer or a number",
        ),
        (["billing", "get-transactions", "--limit", "٢"], "invalid params: limit: expected an integer"),
        (["billing", "get-transactions", "--limit", "1.5"], "invalid params: limit: expected an integer"),
        (["billing", "update-auto-recharge", "--payload", "{"], "--payload is not JSON"),
        (["billing", "update-auto-recharge", "--payload", "@/no/such"], "/no/such cannot be read"),
        (["billing", "get-balance", "--query", "a["], "--query: "),
        (["billing", "no-such"], "No such command"),
        (["auth", "login", "--token", "x"], "No such option"),
    ],
)
def test_what_is_misused_is_told_before_anything_is_sent(
    command: Run, backend: Recorder, words: list[str], told: str
) -> None:
    """In the words of the wire where it has them."""
    done = command(*words)
    assert (done.code, done.out, done.err.count(b"\n")) == (2, b"", 1)
    assert told in done.err.decode()
    assert backend.seen == []


PAGE = {"transactions": [{"id": "a"}, {"id": "b"}], "total": 5}


@pytest.mark.parametrize(
    ("options", "out"),
    [
        (["--jsonl"], b'{"id":"a"}\n{"id":"b"}\n'),
        (["--query", "transactions[].id"], b'["a","b"]\n'),
        (["--query", "transactions[].id", "--jsonl"], b'"a"\n"b"\n'),
        (["--envelope", "--query", "logs"], b'["credit transactions fetched"]\n'),
        (["--query", "nothing"], b"null\n"),
    ],
)
def test_a_result_is_printed_as_it_is_asked_for(
    command: Run, backend: Recorder, options: list[str], out: bytes
) -> None:
    """And stderr says that there is more."""
    backend.default = ok(PAGE)
    done = command("billing", "get-transactions", *options)
    assert done == Done(0, out, b"There are 3 more of 5; --all gives them.\n")


def test_lines_are_of_a_list_that_is_meant_as_one(command: Run, backend: Recorder) -> None:
    """What was paid is one thing, whatever lists are in it; an empty one took its place."""
    made = {"url": "https://pay.example/1", "gatewayTransactionId": "g", "fees": []}
    backend.script = [ok(made), ok({"cards": [{"id": "a"}, {"id": "b"}], "warnings": [1]})]
    paid = command("billing", "top-up", "--amount-usd", "5", "--yes", "--jsonl")
    assert (paid.code, json.loads(paid.out)) == (0, made)
    assert command("billing", "get-cards", "--jsonl").out == b'{"id":"a"}\n{"id":"b"}\n'


@pytest.mark.parametrize("depth", [100, 400, 900])
@pytest.mark.parametrize("options", [[], ["--jsonl"], ["--query", "url"], ["--envelope"]])
def test_a_payment_whose_answer_is_nested_deep_is_printed(
    command: Run, backend: Recorder, depth: int, options: list[str]
) -> None:
    """However deep, and a part of it too."""
    made = b'{"url":"https://pay.example/1","m":%b%b}' % (b"[" * depth, b"]" * depth)
    backend.default = answer(raw=b'{"success":true,"data":%b}' % made)
    done = command("billing", "top-up", "--amount-usd", "5", "--yes", *options)
    whole = b'"https://pay.example/1"' if options[:1] == ["--query"] else made
    assert (done.code, whole in done.out) == (0, True)


def test_a_list_with_something_deep_in_it_is_still_a_list(command: Run, backend: Recorder) -> None:
    """All its pages are asked for."""
    deep = b'{"total":2,"transactions":[{"m":%b}]}' % (b"[" * 400 + b"]" * 400)
    backend.script = [answer(raw=b'{"success":true,"data":%b}' % deep), ok({"total": 2, "transactions": [{"id": "b"}]})]
    done = command("billing", "get-transactions", "--all", "--jsonl")
    assert (done.code, done.out.count(b"\n"), done.err, len(backend.seen)) == (0, 2, b"", 2)


def test_a_charge_that_is_not_known_any_more_cannot_be_followed(command: Run, backend: Recorder) -> None:
    """Its key was settled by hand; that is said, and no link is made up."""
    backend.default = answer(500, {"success": False})
    words = ["billing", "create-coinbase-charge", "--plan", "PRO", "--yes", "--idempotency-key", "k"]
    assert command(*words).code == 12
    assert command("journal", "resolve", "--idempotency-key", "k", "--outcome", "done").code == 0
    done = command(*words, "--wait")
    assert (done.code, done.out, b"To pay" in done.err, b"settled as done by hand" in done.err) == (
        8,
        b"null\n",
        False,
        True,
    )


def test_a_link_can_be_opened_before_it_is_followed(command: Run, backend: Recorder) -> None:
    """It is what somebody pays by."""
    backend.script = [ok({"gatewayTransactionId": "g", "hostedUrl": "ftp://pay.example/g"})]
    backend.default = ok({"status": "COMPLETED"})
    done = command("billing", "create-coinbase-charge", "--plan", "PRO", "--yes", "--wait", "--open")
    assert done.err.startswith(b"To pay: ftp://pay.example/g\nThere is no link to open.\n")
    assert done.code == 0


DIGITS = b'{"transactions":[{"n":12345678901234567890.10,"m":[1e2,-0,1E999,0.1000]}],"total":1,"big":%b}' % (
    b"7" * 2000
)


@pytest.mark.parametrize(
    ("options", "out"),
    [
        (["--jsonl"], b'{"n":12345678901234567890.10,"m":[1e2,-0,1E999,0.1000]}\n'),
        (["--all"], DIGITS + b"\n"),
        (["--query", "@"], DIGITS + b"\n"),
        (["--query", "transactions[0].n"], b"12345678901234567890.10\n"),
        (["--query", "transactions[?n > `1`].m | [0] | max(@) == @[2]"], b"true\n"),
        (["--query", "sum([transactions[0].m[3], `1`])"], b"1.1\n"),
    ],
    ids=["lines", "all pages", "the whole", "a part", "compared", "reckoned with"],
)
def test_numbers_keep_their_digits(command: Run, backend: Recorder, options: list[str], out: bytes) -> None:
    """However they are taken apart; JMESPath reckons with them all the same."""
    backend.default = answer(raw=b'{"success":true,"data":%b}' % DIGITS)
    assert command("billing", "get-transactions", *options) == Done(0, out, b"")


@pytest.mark.parametrize("query", ["sum(@)", "sum([n, n])"])
def test_a_query_that_fails_on_the_result_is_told(command: Run, backend: Recorder, query: str) -> None:
    """In one line; of a call that wrote, all of the result is given: it is no reason to make the call again."""
    backend.default = answer(raw=b'{"success":true,"data":{"n":1e999}}')
    done = command("billing", "get-balance", "--query", query)
    assert (done.code, done.out, done.err.count(b"\n")) == (2, b"", 1)
    assert b"--query fails on the result" in done.err
    paid = command("billing", "top-up", "--amount-usd", "5", "--yes", "--query", query)
    assert (paid.code, paid.out, paid.err.count(b"\n")) == (0, b'{"n":1e999}\n', 1)
    assert b"the call was made, and this is all of its result" in paid.err


@pytest.mark.parametrize("query", ["nothing(@)", "sum(@, @)", "[", "length(nothing(@))"])
def test_a_query_that_no_result_can_answer_is_refused_before_the_call(
    command: Run, backend: Recorder, query: str
) -> None:
    """Also where a function of it is none, or is given too much."""
    done = command("billing", "top-up", "--amount-usd", "5", "--yes", "--query", query)
    assert (done.code, done.out, done.err.count(b"\n"), backend.seen) == (2, b"", 1, [])


def test_all_pages_are_those_of_the_documented_list(command: Run, backend: Recorder) -> None:
    """Whatever lists stand beside it; a list that ends before its total is told."""
    pages = [{"transactions": [1, 2], "warnings": [], "total": 5}, {"transactions": [3], "total": 5}]
    backend.script = [ok(page) for page in [*pages, {"transactions": [], "total": 5}]]
    done = command("billing", "get-transactions", "--all")
    assert done == Done(0, b'{"transactions":[1,2,3],"warnings":[],"total":5}\n', b"The list ended after 3 of 5.\n")


def test_pages_that_never_end_are_an_error(command: Run, backend: Recorder) -> None:
    """An earlier page again is no next one, right behind itself or later."""
    for count in (1, 3):
        backend.seen.clear()
        backend.script = [ok({"transactions": [number % count]}) for number in range(9)]
        done = command("billing", "get-transactions", "--all")
        assert (done.code, done.out, len(backend.seen)) == (3, b"", count + 1)


def test_what_may_be_a_token_is_not_repeated(command: Run) -> None:
    """Wherever it was put by mistake."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
    for words in (
        ["auth", token],
        ["help", token],
        ["auth", "login", "--kind", token],
        [token],
        ["auth", "login", token],
    ):
        done = command(*words)
        assert (done.code, done.out, token.encode() in done.err, kebab(token).encode() in done.err) == (
            2, b"", False, False,
        )  # fmt: skip


def test_what_pays_nothing_says_nothing_of_money(command: Run) -> None:
    """It is for methods that pay."""
    error = json.loads(command("team", "delete-team", "--team-id", "t", "--json").err)["error"]
    assert (error["kind"], "moneyMoved" in error) == ("confirmation_required", False)
    error = json.loads(command("billing", "top-up", "--amount-usd", "5", "--JSON").err)["error"]
    assert (error["kind"], error["moneyMoved"]) == ("confirmation_required", "no")


def test_all_pages_make_one_document(command: Run, backend: Recorder) -> None:
    """However many requests it takes."""
    backend.script = [ok({"transactions": list(range(n, n + 2)), "total": 5}) for n in (0, 2)]
    backend.script.append(ok({"transactions": [4], "total": 5}))
    done = command("billing", "get-transactions", "--all", "--limit", "2")
    assert done == Done(0, b'{"transactions":[0,1,2,3,4],"total":5}\n', b"")
    assert [seen.target.partition("?")[2] for seen in backend.seen] == [
        f"limit=2&offset={offset}" for offset in (0, 2, 4)
    ]


@pytest.mark.parametrize(
    ("options", "code", "writes"),
    [
        (["--expect-user", "u1"], 0, 1),
        (["--expect-user", "u2"], 5, 0),
        (["--expect-team", "t1"], 0, 1),
        (["--expect-team", "t2"], 5, 0),
        (["--expect-user", "u1", "--expect-team", "t2"], 5, 0),
    ],
)
def test_a_write_is_made_as_the_expected_account_only(
    command: Run, backend: Recorder, options: list[str], code: int, writes: int
) -> None:
    """The hosted API is asked who it is, before anything is written."""
    backend.script = [ok({"_id": "u1", "activeTeamId": "t1"})]
    done = command("billing", "top-up", "--amount-usd", "5", "--yes", *options)
    assert done.code == code
    assert [seen.verb for seen in backend.seen] == ["GET", *["POST"] * writes]


def test_the_expected_user_is_found_wherever_signing_in_finds_it(command: Run, backend: Recorder) -> None:
    """Profiles have had several shapes."""
    backend.default = ok({"user": {"_id": 7}, "activeTeamId": "t1"})
    assert command("billing", "top-up", "--amount-usd", "5", "--yes", "--expect-user", "7").code == 0
    status = json.loads(command("auth", "status").out)
    assert (status["userId"], status["teamId"]) == ("7", "t1")


def test_log_lines_go_to_stderr_when_asked_for(command: Run, backend: Recorder) -> None:
    """Stdout stays one document."""
    backend.default = ok({"a": 1})
    assert command("billing", "get-balance", "-v") == Done(0, b'{"a": 1}\n', b"credit balance fetched\n")
    asked = command("call", "openhuman.billing_get_balance", "-v", "--query", "result.a")
    assert asked == Done(0, b"1\n", b"credit balance fetched\n")


@pytest.mark.parametrize(
    ("status", "code"), [("COMPLETED", 0), ("OVERPAID", 0), ("UNDERPAID", 3), ("EXPIRED", 3), ("NEW", 8)]
)
def test_a_payment_can_be_followed(command: Run, backend: Recorder, status: str, code: int) -> None:
    """From its link to its end, or until the time is up."""
    backend.script = [ok({"gatewayTransactionId": "g", "hostedUrl": "https://pay.example/g", "status": "NEW"})]
    backend.default = ok({"status": status})
    done = command("billing", "wait-for-payment", "--gateway-transaction-id", "g", "--timeout-seconds", "0")
    backend.script = [ok({"gatewayTransactionId": "g", "hostedUrl": "https://pay.example/g", "status": "NEW"})]
    if status != "NEW":
        done = command("billing", "create-coinbase-charge", "--plan", "PRO", "--yes", "--wait")
        assert json.loads(done.out)["status"] == status
        assert done.err.startswith(b"To pay: https://pay.example/g\n")
    assert done.code == code


@pytest.mark.parametrize("state", [[1], {"status": ["x"]}, {"status": {}}])
def test_a_followed_charge_is_printed_whatever_its_state_looks_like(
    command: Run, backend: Recorder, state: Any
) -> None:
    """It was made; what its state is cannot be read, so it is pending when the time is up."""
    backend.script = [ok({"gatewayTransactionId": "g", "hostedUrl": "https://pay.example/g", "status": "NEW"})]
    backend.default = ok(state)
    done = command("billing", "create-coinbase-charge", "--plan", "PRO", "--yes", "--wait", "--timeout-ms", "900")
    assert (done.code, json.loads(done.out)["gatewayTransactionId"]) == (8, "g")


@pytest.mark.parametrize("topic", ["environment", "exit-codes", "idempotency", "output"])
def test_help_has_topics(command: Run, topic: str) -> None:
    """Each is a page of text."""
    done = command("help", topic)
    assert (done.code, done.err, len(done.out.splitlines()) > 5) == (0, b"", True)


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_explains_itself(command: Run, name: str) -> None:
    """Example first; by --help and by help, in the same words."""
    told = command(*name.split(), "--help")
    assert (told.code, told.err) == (0, b"")
    usage, _, example, words, *_ = told.out.decode().splitlines()
    assert usage.startswith(f"Usage: openhuman-core {name}")
    assert (example, f"openhuman-core {name.replace('run', 'serve')}" in words) == ("  Example:", True)
    assert told.out.index(b"Example:") < told.out.index(b"Options:")
    assert told.out == command("help", *name.split()).out


@pytest.mark.parametrize("name", ["serve", "run"])
def test_the_command_line_starts_no_second_kind_of_daemon(command: Run, name: str) -> None:
    """It would have no log and miss an early stop; the program starts the daemon before it reads commands."""
    done = command(name, "--read-only")
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith(b"openhuman-core: invalid_params: serve must be the first word")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(command: Run, shell: str) -> None:
    """For a shell to source."""
    done = command("completion", shell)
    assert (done.code, b"_OPENHUMAN_CORE_COMPLETE" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("openhuman-core help ex", "plain,exit-codes"),
        ("openhuman-core help bi", "plain,billing"),
        ("openhuman-core serve --max-b", "plain,--max-batch"),
        ("openhuman-core run --read-", "plain,--read-only"),
        ("openhuman-core batch mem", "file,mem"),
        ("openhuman-core auth login --token-file sec", "file,sec"),
        ("openhuman-core auth consume-login-token --login-token-file sec", "file,sec"),
        ("openhuman-core billing top-up --amo", "plain,--amount-usd"),
        ("openhuman-core bil", "plain,billing"),
    ],
)
def test_a_shell_completes(home: Any, typed: str, offered: str) -> None:
    """Commands, topics, options, and files where a file is expected."""
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = run_process(home, stdin=b"", _OPENHUMAN_CORE_COMPLETE="bash_complete", **words)
    assert done.stdout.decode().splitlines() == [offered]


def test_a_charge_that_cannot_be_followed_is_printed_all_the_same(command: Run, backend: Recorder) -> None:
    """It is made, and a second one would be another."""
    made = {"gatewayTransactionId": "g", "hostedUrl": "https://pay.example/g"}
    backend.script = [ok(made)]
    backend.default = answer(404, {"success": False, "error": "gone"})
    done = command("billing", "create-coinbase-charge", "--plan", "PRO", "--yes", "--wait")
    assert (done.code, json.loads(done.out)) == (8, made)
    assert b"was made, and could not be followed" in done.err


def test_a_link_that_nobody_opens_is_no_failure(command: Run, backend: Recorder) -> None:
    """The call is made."""
    backend.default = ok({"portalUrl": "https://pay.example"})
    done = command("billing", "create-portal-session", "--open")
    assert (done.code, json.loads(done.out)) == (0, {"portalUrl": "https://pay.example"})
    assert b"The link was not opened." in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["call", "openhuman.team_create_team", "--params", "[1]"], "expected object or null, got array"),
        (["call", "openhuman.auth_set_credential", "--params", '{"token":"x"}'], "a secret is no option"),
        (["auth", "login", "sk_live_abcdef123456"], "unexpected extra argument"),
        (["team", "create-team", "--name", "\udcff"], "what is no UTF-8 cannot be sent"),
    ],
    ids=["an array", "a secret in params", "a secret as a word", "bytes that are no text"],
)
def test_what_cannot_be_taken_is_refused_in_a_line(
    command: Run, backend: Recorder, words: list[str], told: str
) -> None:
    """Nothing is sent, and no secret repeated."""
    done = command(*words)
    assert (done.code, done.out, done.err.count(b"\n"), told in done.err.decode()) == (2, b"", 1, True)
    assert b"sk_live" not in done.err
    assert backend.seen == []


def test_secrets_of_any_method_come_from_a_file(command: Run, tmp_path: Any) -> None:
    """As params of `call` too."""
    (tmp_path / "params").write_text('{"token": "a-token-of-some-length", "kind": "api-key"}', encoding="utf-8")
    done = command("call", "openhuman.auth_set_credential", "--params", f"@{tmp_path / 'params'}")
    assert (done.code, b"a-token" in done.out) == (0, False)


@pytest.mark.parametrize(
    "payload", [b'{"total":null,"transactions":[1]}', b'{"transactions":[]}', b"[]", b"null", b"7"]
)
@pytest.mark.parametrize("options", [[], ["--all"], ["--jsonl"], ["--query", "@"]])
def test_any_answer_can_be_printed(command: Run, backend: Recorder, payload: bytes, options: list[str]) -> None:
    """Fields are renamed at times."""
    backend.script = [answer(raw=b'{"success":true,"data":%b}' % payload)]
    backend.default = ok({"transactions": []})
    assert command("billing", "get-transactions", *options).code == 0


@pytest.mark.parametrize("words", [[], ["billing"], ["auth"]])
def test_without_a_command_there_is_help(command: Run, words: list[str]) -> None:
    """As it is printed everywhere, and with the exit code of a misuse."""
    done = command(*words)
    assert (done.code, done.err.startswith(b"Usage: openhuman-core"), done.err.count(b"\n") > 5) == (2, True, True)
