"""What the hosted API's answers and failures become (contract, sections 6 and 7)."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon, request
from tests.support.recorder import CLOSE, SILENCE, Recorder, answer, ok

MAX_BYTES = 20_000
SECRET = "<h1>Cannot GET /a-secret-in-a-body</h1>"
# One method of each effect: name, params, route.
CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "read": ("openhuman.team_get_team", {"teamId": "t1"}, "GET /teams/{teamId}"),
    "write": ("openhuman.team_update_team", {"teamId": "t1"}, "PUT /teams/{teamId}"),
    "create": ("openhuman.team_create_team", {"name": "n"}, "POST /teams"),
    "money": ("openhuman.billing_top_up", {"amountUsd": 5}, "POST /payments/credits/top-up"),
}
EFFECTS = list(CALLS)
CODES = {
    "session_expired": -32002, "api_key_rejected": -32003, "forbidden": -32004, "not_found": -32005,
    "conflict": -32006, "rejected": -32007, "rate_limited": -32008, "backend_unavailable": -32009,
    "backend_timeout": -32010, "bad_backend_response": -32011, "outcome_unknown": -32013,
}  # fmt: skip
RETRYABLE = {"rate_limited", "backend_unavailable", "backend_timeout"}
KINDS = {
    400: "rejected", 402: "rejected", 403: "forbidden", 404: "not_found", 408: "rejected", 409: "conflict",
    418: "rejected", 422: "rejected", 425: "rejected", 429: "rate_limited", 500: "backend_unavailable",
    503: "backend_unavailable",
}  # fmt: skip

StartWith = Callable[..., Daemon]


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    """Give a hosted API that all tests here share."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def daemon(backend: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon whose session comes from the environment, and which reads answers up to a limit."""
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "env-token", "OPENHUMAN_CREDENTIAL_STORE": "file"}
    with Daemon(tmp_path_factory.mktemp("home"), f"--max-message-bytes={MAX_BYTES}", env=env) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def storing(backend: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon whose credentials are those it stored."""
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_CREDENTIAL_STORE": "file"}
    with Daemon(tmp_path_factory.mktemp("home"), env=env) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def echoed_to(backend: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartWith]:
    """Give daemons that hold a secret in a variable and try nothing twice."""
    with ExitStack() as stack:

        @cache
        def start(variable: str) -> Daemon:
            env = {"BACKEND_URL": backend.url, variable: ECHO}
            return stack.enter_context(Daemon(tmp_path_factory.mktemp("home"), "--no-retries", env=env))

        yield start


@pytest.fixture(autouse=True)
def _fresh(backend: Recorder) -> None:
    """Forget what the test before saw and ordered."""
    backend.seen.clear()
    backend.script.clear()
    backend.default = ok({})


def told(error: dict[str, Any]) -> dict[str, Any]:
    """Give an error without what the contract leaves open: the hint's words, and how to find an outcome out."""
    data = dict(error["data"])
    hint = data.pop("hint", "none")
    assert isinstance(hint, str)
    assert hint
    assert error["message"]
    message = "" if data["kind"] == "outcome_unknown" else error["message"]
    return {**error, "message": message, "data": data}


def failure(kind: str, effect: str, message: str, **facts: Any) -> dict[str, Any]:
    """Make the error of a kind for a call of an effect."""
    moved = {"moneyMoved": "unknown" if kind == "outcome_unknown" else "no"} if effect == "money" else {}
    return {
        "code": CODES[kind],
        "message": "" if kind == "outcome_unknown" else message,
        "data": {"kind": kind, "retryable": kind in RETRYABLE, "route": CALLS[effect][2], **facts, **moved},
    }


def fail(daemon: Daemon, effect: str, **options: Any) -> dict[str, Any]:
    """Make the call of an effect, which must fail."""
    name, params, _ = CALLS[effect]
    return daemon.error(name, {**params, **options})


def unsure(effect: str, kind: str) -> str:
    """Give the kind of a call that was sent and may have acted."""
    return "outcome_unknown" if effect in ("create", "money") else kind


REFUSAL = {"success": False, "error": "No such luck", "errorCode": "E_LUCK", "details": {"field": ["x", None, 1.5]}}
REFUSAL_FACTS = {"errorCode": "E_LUCK", "details": {"field": ["x", None, 1.5]}, "requestId": "req-1"}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("status", KINDS)
def test_a_status_becomes_a_kind(daemon: Daemon, backend: Recorder, status: int, effect: str) -> None:
    """Kind, code, message and facts of each status; a create or payment that may have acted has an unknown outcome."""
    backend.default = answer(status, REFUSAL, {"x-request-id": "req-1"})
    sure = status < 500 and not (effect == "money" and status in (408, 409, 425))
    kind = KINDS[status] if sure else unsure(effect, KINDS[status])
    limited = " (rate limit)" if status == 429 else ""
    message = f"{CALLS[effect][2]} failed ({status} {HTTPStatus(status).phrase}): No such luck{limited}"
    assert told(fail(daemon, effect)) == failure(kind, effect, message, httpStatus=status, **REFUSAL_FACTS)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_refusal_may_come_with_200(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """`success: false` is a refusal whatever the status."""
    backend.default = answer(200, REFUSAL, {"x-request-id": "req-1"})
    message = f"{CALLS[effect][2]} failed (200 OK): No such luck"
    assert told(fail(daemon, effect)) == failure("rejected", effect, message, httpStatus=200, **REFUSAL_FACTS)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"error": "E", "message": "M"}, "E"),
        ({"message": "M"}, "M"),
        ({"error": None, "message": "M"}, "M"),
        ({"error": {"code": 1}, "message": "M"}, "M"),
        ({"error": 5}, "request unsuccessful"),
        ({"error": 10**2000, "message": "M"}, "M"),
        ({"error": ["E"], "message": False}, "request unsuccessful"),
        ({}, "request unsuccessful"),
        ({"error": "Zürich 💳 \ud83d"}, "Zürich 💳 \ud83d"),
    ],
    ids=[
        "error-first",
        "message",
        "null-error",
        "object",
        "number",
        "long-number",
        "neither-is-text",
        "neither",
        "not-ascii",
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_the_reason_is_the_hosted_apis_own(
    daemon: Daemon, backend: Recorder, status: int, members: dict[str, Any], reason: str
) -> None:
    """`error`, else `message`, where it is text."""
    backend.default = answer(status, {"success": False, **members})
    message = f"GET /teams/{{teamId}} failed ({status} {HTTPStatus(status).phrase}): {reason}"
    assert told(fail(daemon, "read")) == failure("rejected", "read", message, httpStatus=status)


@pytest.mark.parametrize("words", ["Budget exceeded: 5 of 5 USD", "Insufficient budget"])
@pytest.mark.parametrize("status", [200, 400, 402, 403, 429, 500])
@pytest.mark.parametrize("effect", ["read", "money"])
def test_words_about_budgets_stay_intact(
    daemon: Daemon, backend: Recorder, effect: str, status: int, words: str
) -> None:
    """Clients look for them, whatever the kind is."""
    backend.default = answer(status, {"success": False, "error": words})
    assert words in fail(daemon, effect)["message"]


@pytest.mark.parametrize("reason", ["slow down", "the rate limit is 5", "Rate limit exceeded", "RATE LIMIT"])
def test_a_429_speaks_of_the_rate_limit(daemon: Daemon, backend: Recorder, reason: str) -> None:
    """The message holds `rate limit` as it is written here, and the reason as it came."""
    backend.default = answer(429, {"success": False, "error": reason})
    message = fail(daemon, "read")["message"]
    assert "rate limit" in message
    assert reason in message


@pytest.mark.parametrize(
    ("header", "milliseconds"),
    [
        ("7", 7000),
        ("0", 0),
        (format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("9" * 5000, ...),
        ("Sat, 01 Jan 99999999999 00:00:00 GMT", None),
    ],
    ids=["seconds", "zero", "past-date", "word", "empty", "negative", "too-many-digits", "date-out-of-range"],
)
def test_retry_after_is_told_in_milliseconds(daemon: Daemon, backend: Recorder, header: str, milliseconds: Any) -> None:
    """Seconds and dates are read, and what is neither is left out."""
    backend.default = answer(429, {"success": False, "error": "rate limit"}, {"retry-after": header})
    error = told(fail(daemon, "money"))
    facts = {} if milliseconds is None else {"retryAfterMs": milliseconds}
    if milliseconds is ...:
        facts = {name: value for name, value in error["data"].items() if name == "retryAfterMs"}
    message = "POST /payments/credits/top-up failed (429 Too Many Requests): rate limit"
    assert error == failure("rate_limited", "money", message, httpStatus=429, **facts)


def test_retry_after_may_be_a_date_to_come(daemon: Daemon, backend: Recorder) -> None:
    """A date becomes the time until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    backend.default = answer(429, {"success": False, "error": "rate limit"}, {"retry-after": date})
    assert 30_000 < fail(daemon, "money")["data"]["retryAfterMs"] <= 60_000


@pytest.mark.parametrize(
    "details",
    [b"1e999", b"[-1e999]", b"9" * 5000, b"[" * 500 + b"]" * 500, b'"\\ud83d"'],
    ids=["infinite", "minus-infinite", "too-many-digits", "deep", "lone-escape"],
)
def test_strange_details_spoil_nothing(daemon: Daemon, backend: Recorder, details: bytes) -> None:
    """A refusal stays one, with its reason, whatever JSON stands in its details."""
    backend.default = answer(400, raw=b'{"success":false,"error":"E","details":%b}' % details)
    error = told(fail(daemon, "read"))
    error["data"].pop("details", None)
    message = "GET /teams/{teamId} failed (400 Bad Request): E"
    assert error == failure("rejected", "read", message, httpStatus=400)


def test_details_of_any_depth_spoil_nothing(daemon: Daemon, backend: Recorder) -> None:
    """A refusal stays one where its details are nested as deep as can be read, and deeper."""
    kinds = set()
    for depth in range(900, 1000):
        nest = b"[" * depth + b"]" * depth
        backend.default = answer(400, raw=b'{"success":false,"error":"E","details":%b}' % nest)
        daemon.send(request(depth, CALLS["read"][0], CALLS["read"][1]))
        kinds.add(b'"kind":"rejected"' in daemon.line())
    assert kinds == {True}


@pytest.mark.parametrize(
    ("status", "body"), [(404, SECRET), (404, ""), (403, SECRET), (500, SECRET), (404, '{"error": ' + SECRET)]
)
@pytest.mark.parametrize("effect", EFFECTS)
def test_a_body_that_is_no_json_is_never_repeated(
    daemon: Daemon, backend: Recorder, effect: str, status: int, body: str
) -> None:
    """An HTML page of an unmatched route gives the reason of its status."""
    backend.default = answer(status, raw=body.encode(), headers={"content-type": "text/html"})
    kind = KINDS[status] if status < 500 else unsure(effect, KINDS[status])
    phrase = HTTPStatus(status).phrase
    message = f"{CALLS[effect][2]} failed ({status} {phrase}): {phrase.lower()}"
    error = fail(daemon, effect)
    assert told(error) == failure(kind, effect, message, httpStatus=status)
    assert "a-secret" not in json.dumps(error) + daemon.log()


OVERSIZE = json.dumps({"success": True, "data": "a-secret" * MAX_BYTES}).encode()
UNREADABLE = {
    "html": answer(200, raw=SECRET.encode(), headers={"x-request-id": "req-1"}),
    "nan": answer(200, raw=b'{"success":true,"data":NaN}', headers={"x-request-id": "req-1"}),
    "half-json": answer(200, raw=b'{"success":true,"data":{"a-secret":', headers={"x-request-id": "req-1"}),
    "not-utf-8": answer(200, raw=b'{"success":true,"data":"a-secret \xff"}', headers={"x-request-id": "req-1"}),
    "oversize": answer(200, raw=OVERSIZE, headers={"x-request-id": "req-1"}),
    "broken-gzip": answer(
        200, raw=gzip.compress(b'{"a":"a-secret"}')[:10], headers={"x-request-id": "req-1", "content-encoding": "gzip"}
    ),
    "cut-short": answer(200, raw=b'{"a":"a-secret', headers={"x-request-id": "req-1", "content-length": "5000"}),
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("reply", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_answer_is_told_without_its_text(
    daemon: Daemon, backend: Recorder, reply: bytes, effect: str
) -> None:
    """No JSON, cut short, or over the limit: the request's id at the hosted API helps, the text does not."""
    backend.default = reply
    error = fail(daemon, effect)
    kind = unsure(effect, "bad_backend_response")
    message = "" if kind == "outcome_unknown" else error["message"]
    assert told(error) == failure(kind, effect, message, httpStatus=200, requestId="req-1")
    assert "a-secret" not in json.dumps(error) + daemon.log()


@pytest.mark.parametrize("encoding", ["identity", " Identity", ""])
def test_an_encoding_that_is_none_is_none_however_it_is_spelled(
    daemon: Daemon, backend: Recorder, encoding: str
) -> None:
    """A payment that was answered well is no unknown outcome."""
    backend.default = answer(raw=b'{"success":true,"data":1}', headers={"content-encoding": encoding})
    assert daemon.result("openhuman.billing_top_up", {"amountUsd": 5})["result"] == 1


def test_a_refusal_that_says_too_much_is_cut(start: StartDaemon, backend: Recorder) -> None:
    """Nobody reads it to its end, and all of it would be searched for tokens while others wait."""
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    said = {"success": False, "error": "no " * 5000, "errorCode": "E", "details": ["x"] * 2**15}
    backend.script = [answer(400, said)]
    error = daemon.error("openhuman.team_get_team", {"teamId": "t1"})
    assert (error["message"], error["data"]["errorCode"], "details" in error["data"]) == (
        f"GET /teams/{{teamId}} failed (400 Bad Request): {('no ' * 5000)[:4096]}…",
        "E",
        False,
    )


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_refusal_that_is_too_long_is_still_a_refusal(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """The status says that nothing was done, so its body changes neither the kind nor the certainty."""
    backend.default = answer(403, raw=OVERSIZE)
    error = fail(daemon, effect)
    assert told(error) == failure("forbidden", effect, error["message"], httpStatus=403)
    assert "a-secret" not in json.dumps(error) + daemon.log()


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed(daemon: Daemon, backend: Recorder, status: int, effect: str) -> None:
    """Any 3xx is a bad answer; where the call may have acted, its outcome is unknown."""
    backend.default = answer(status, headers={"location": f"{backend.url}/elsewhere"})
    error = fail(daemon, effect)
    kind = unsure(effect, "bad_backend_response")
    message = "" if kind == "outcome_unknown" else error["message"]
    assert told(error) == failure(kind, effect, message, httpStatus=status)
    assert "/elsewhere" not in {seen.target for seen in backend.seen}


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_change_of_protocols_is_no_success(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """Nobody asked for one, so a 101 tells nothing of what was done."""
    backend.default = answer(101, headers={"upgrade": "other", "connection": "upgrade"})
    assert fail(daemon, effect)["data"]["kind"] == unsure(effect, "bad_backend_response")


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (b'{"success":true,"data":{"a":1.50},"user":{"b":1}}', b'{"a":1.50}'),
        (b'{"success":true,"data":null,"user":{"b":1e2},"message":"m"}', b'{"b":1e2}'),
        (b'{"user":{"b":1},"success":true}', b'{"b":1}'),
        (b'{"success":true,"data":null,"user":null,"n":1.50}', b'{"data":null,"user":null,"n":1.50}'),
        (b'{"z":1.50,"success":true,"a":[1e2]}', b'{"z":1.50,"a":[1e2]}'),
        (b'{"success":true}', b"{}"),
        (b'{"success":true,"data":false}', b"false"),
        (b'{"success":true,"data":0}', b"0"),
        (b'{"success":true,"data":""}', b'""'),
        (b'{"success":true,"data":[]}', b"[]"),
        (b'{"success":"true","data":1.0}', b'{"success":"true","data":1.0}'),
        (b'{"success":1,"data":1.0}', b'{"success":1,"data":1.0}'),
        (b'{"success":null,"error":"E"}', b'{"success":null,"error":"E"}'),
        (b'{"data":{"a":1.0},"error":"E"}', b'{"data":{"a":1.0},"error":"E"}'),
        (b'[{"success":false}]', b'[{"success":false}]'),
        (b'"success"', b'"success"'),
        (b"null", b"null"),
        (b"", b"null"),
    ],
)
def test_an_envelope_is_unwrapped_by_its_rules(daemon: Daemon, backend: Recorder, raw: bytes, payload: bytes) -> None:
    """Data, else user, else the rest; what is no envelope is the payload itself."""
    backend.default = answer(200, raw=raw)
    daemon.send(request("raw", "openhuman.team_get_usage"))
    assert b'"result":{"result":%b,"logs":["team usage fetched from backend"]}' % payload in daemon.line()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
@pytest.mark.parametrize("effect", EFFECTS)
def test_an_empty_success_is_null(daemon: Daemon, backend: Recorder, effect: str, status: int) -> None:
    """Any 2xx without a body."""
    backend.default = answer(status)
    name, params, _ = CALLS[effect]
    assert daemon.result(name, params)["result"] is None


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_connection_that_is_lost(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """The request was sent and no answer came."""
    backend.default = CLOSE
    kind = unsure(effect, "backend_unavailable")
    assert told(fail(daemon, effect)) == failure(kind, effect, "error sending request: connection closed")


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_answer_that_does_not_come_in_time(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """The caller's own timeout counts."""
    backend.default = SILENCE
    error = fail(daemon, effect, timeoutMs=150)
    kind = unsure(effect, "backend_timeout")
    message = "" if kind == "outcome_unknown" else error["message"]
    assert "timed out" in error["message"]
    assert told(error) == failure(kind, effect, message)


@pytest.fixture(scope="module")
def start_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartWith]:
    """Start daemons on base URLs that cannot be reached."""
    started: list[Daemon] = []

    def start(url: str) -> Daemon:
        env = {"BACKEND_URL": url, "OPENHUMAN_TOKEN": "env-token"}
        started.append(Daemon(tmp_path_factory.mktemp("home"), env=env))
        return started[-1]

    yield start
    for daemon in started:
        daemon.__exit__(None, None, None)


@pytest.fixture(scope="module")
def self_signed_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a server that nobody vouches for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    made: Path = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    subprocess.run([openssl, *words.split()], cwd=made, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "cert.pem", made / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        stopped = threading.Event()

        def refuse() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:  # nobody came, or whoever came went away again
                    continue

        server = threading.Thread(target=refuse)
        server.start()
        yield f"https://localhost:{listener.getsockname()[1]}"
        stopped.set()
        server.join()


def unreachable(daemon: Daemon, cause: str) -> None:
    """Check that calls of every effect fail for `cause`, which is sure to have done nothing."""
    for effect in EFFECTS:
        message = f"error sending request: {cause}"
        assert told(fail(daemon, effect)) == failure("backend_unavailable", effect, message)


def test_a_port_where_nobody_listens(start_with: StartWith) -> None:
    """No byte left, so nothing was done."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        unreachable(start_with(f"http://127.0.0.1:{bound.getsockname()[1]}"), "connection refused")


def test_a_name_that_nobody_knows(start_with: StartWith) -> None:
    """No address, so nothing was done."""
    unreachable(start_with("https://nonexistent.invalid"), "name not resolved")


def test_a_certificate_that_nobody_vouches_for(start_with: StartWith, self_signed_url: str) -> None:
    """TLS is verified against the system's trust store, before anything is sent."""
    unreachable(start_with(self_signed_url), "TLS verification failed")


UNAUTHORIZED = answer(401, {**REFUSAL, "error": "jwt refused"}, {"x-request-id": "req-1"})


def refused_message(error: dict[str, Any], start: str, effect: str) -> str:
    """Check the parts of a 401's message that the contract fixes, and give it."""
    message: str = error["message"]
    assert message.startswith(start)
    assert message.endswith(f" on {CALLS[effect][2]}")
    return message


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_session_is_refused(daemon: Daemon, backend: Recorder, effect: str) -> None:
    """A 401 with a session says so in the words that the desktop looks for; nothing was done."""
    backend.default = UNAUTHORIZED
    error = fail(daemon, effect)
    message = refused_message(error, "SESSION_EXPIRED: Session expired; ", effect)
    assert told(error) == failure("session_expired", effect, message, httpStatus=401, **REFUSAL_FACTS)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_stored_api_key_is_refused(storing: Daemon, backend: Recorder, effect: str) -> None:
    """A 401 with an API key blames the key; the key and the session beside it stay stored."""
    for kind in ("session", "api-key"):
        storing.result("openhuman.auth_set_credential", {"token": "the-same", "kind": kind})
    backend.default = UNAUTHORIZED
    error = fail(storing, effect)
    message = refused_message(error, "API_KEY_REJECTED: ", effect)
    assert told(error) == failure("api_key_rejected", effect, message, httpStatus=401, **REFUSAL_FACTS)
    assert sorted(storing.result("openhuman.auth_clear_credential")["result"]["removed"]) == ["api-key", "session"]


def test_a_refused_session_is_forgotten(storing: Daemon, backend: Recorder) -> None:
    """The stored session that was refused is no longer there."""
    storing.result("openhuman.auth_set_credential", {"token": "stored-token"})
    backend.default = UNAUTHORIZED
    assert fail(storing, "read")["data"]["kind"] == "session_expired"
    assert storing.result("openhuman.auth_clear_session")["result"] == {"removed": False}
    assert fail(storing, "read")["data"]["kind"] == "unauthenticated"


def test_another_sessions_refusal_leaves_the_stored_one(daemon: Daemon, backend: Recorder) -> None:
    """The environment's token was refused, not the stored one."""
    daemon.result("openhuman.auth_set_credential", {"token": "stored-token"})
    backend.default = UNAUTHORIZED
    assert fail(daemon, "read")["data"]["kind"] == "session_expired"
    assert daemon.result("openhuman.auth_clear_session")["result"] == {"removed": True}


def test_a_session_that_was_replaced_meanwhile_stays(storing: Daemon, backend: Recorder) -> None:
    """The refused token was stored when the call began, and another one is when the refusal comes."""
    storing.result("openhuman.auth_set_credential", {"token": "old-token"})
    backend.default = UNAUTHORIZED
    name, params, _ = CALLS["read"]
    with backend.changed:  # holds the answer back
        storing.send(request("refused", name, params))
        storing.result("openhuman.auth_set_credential", {"token": "new-token"})
    refused = storing.answer()
    assert (refused["id"], refused["error"]["data"]["kind"]) == ("refused", "session_expired")
    assert {seen.headers["authorization"] for seen in backend.seen} == {"Bearer old-token"}
    assert storing.result("openhuman.auth_get_session_token")["result"] == {"token": "new-token"}
    storing.result("openhuman.auth_clear_session")


def test_a_401_without_a_credential_is_a_refusal_like_others(storing: Daemon, backend: Recorder) -> None:
    """No session was shown, so none expired, and the stored one stays."""
    storing.result("openhuman.auth_set_credential", {"token": "stored-token"})
    backend.default = UNAUTHORIZED
    route = "POST /auth/login-token/consume"
    assert told(storing.error("openhuman.auth_consume_login_token", {"loginToken": "once"})) == {
        "code": -32007,
        "message": f"{route} failed (401 Unauthorized): jwt refused",
        "data": {"kind": "rejected", "retryable": False, "route": route, "httpStatus": 401, **REFUSAL_FACTS},
    }
    assert storing.result("openhuman.auth_clear_session")["result"] == {"removed": True}


ECHO = "sk/echo-0123456789abcdef"  # what a path would have to encode
FOREIGN = "ohk_of_somebody_else", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl", "whsec_0123456789"


def echoing(status: int, secret: str) -> bytes:
    """Make a refusal that repeats a secret, and tokens that nobody sent, wherever it can."""
    everything = f"{secret} in Bearer {secret}, {quote(secret, safe='')}, {' '.join(FOREIGN)}"
    body = {
        "success": False,
        "error": f"refused {everything} for ada@example.com",
        "errorCode": everything,
        "details": {"fields": [{"received": secret, everything: 1}], "to": "ada@example.com"},
    }
    return answer(status, body, {"x-request-id": secret, "set-cookie": f"sid={secret}"})


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 429, 500])
@pytest.mark.parametrize("variable", ["OPENHUMAN_TOKEN", "OPENHUMAN_API_KEY"])
def test_no_error_repeats_a_credential(
    echoed_to: StartWith, backend: Recorder, variable: str, status: int, effect: str
) -> None:
    """The hosted API's words reach the caller without what it was shown in confidence, and without other tokens."""
    name, params, _ = CALLS[effect]
    backend.default = echoing(status, ECHO)
    keyed = {"idempotencyKey": f"key-{status}-{effect}"} if status % 2 and effect != "read" else {}
    error = echoed_to(variable).error(name, {**params, **keyed})
    text = json.dumps(error)
    assert not any(secret in text for secret in (ECHO, quote(ECHO, safe=""), json.dumps(ECHO)[1:-1], *FOREIGN))
    assert "refused [redacted] in Bearer [redacted], [redacted], [redacted] [redacted] [redacted]" in error["message"]
    assert error["data"]["details"] == {
        "fields": [
            {
                "received": "[redacted]",
                "[redacted] in Bearer [redacted], [redacted], [redacted] [redacted] [redacted]": 1,
            }
        ],
        "to": "ada@example.com",
    }
    assert error["data"]["requestId"] == "[redacted]"


@pytest.mark.parametrize(
    ("name", "params"),
    [("openhuman.auth_consume_login_token", {"loginToken": ECHO}), ("openhuman.auth_store_session", {"token": ECHO})],
)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_no_error_repeats_a_token_of_the_params(
    storing: Daemon, backend: Recorder, name: str, params: dict[str, Any], status: int
) -> None:
    """Nor does one hold a token that was given where a name is meant."""
    backend.default = echoing(status, ECHO)
    assert ECHO not in json.dumps(storing.error(name, {**params, "timeoutMs": 400}))
    assert FOREIGN[1] not in json.dumps(storing.error(FOREIGN[1], params))
