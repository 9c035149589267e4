"""Sessions, credentials, and where they are kept (contract, section 5)."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import Daemon
from tests.support.recorder import CLOSE, SILENCE, Recorder, answer, ok

FILE = {"OPENHUMAN_CREDENTIAL_STORE": "file"}
NO_CREDENTIAL = "no backend session token; run auth_store_session first"
EXPIRED = "SESSION_EXPIRED: Session expired; sign in again (backend session token expired locally)"
FAILED = "Session validation failed (GET /auth/me): "
SIGNED_OUT = {
    "isAuthenticated": False, "userId": None, "user": None, "profileId": None, "credential": None, "expiresAt": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    """Give a hosted API that all tests here share."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def daemon(backend: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon without credentials from its environment, which all tests here share."""
    with Daemon(tmp_path_factory.mktemp("home"), env={"BACKEND_URL": backend.url, **FILE}) as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def _fresh(backend: Recorder, daemon: Daemon) -> None:
    """Forget what the test before saw, ordered and stored."""
    daemon.result("openhuman.auth_clear_credential")
    backend.seen.clear()
    backend.script.clear()
    backend.default = ok({})


def auth(daemon: Daemon, function: str, **params: Any) -> Any:
    """Make a call that must succeed and give its payload."""
    return daemon.result(f"openhuman.auth_{function}", params)["result"]


def told(error: dict[str, Any]) -> dict[str, Any]:
    """Give an error without its hint, whose words the contract leaves open."""
    hint = error["data"].get("hint", "none")
    assert isinstance(hint, str)
    assert hint
    return {**error, "data": {name: value for name, value in error["data"].items() if name != "hint"}}


def refused(daemon: Daemon, token: str, **params: Any) -> dict[str, Any]:
    """Fail to store a session, which leaves the one that was stored before, and give the error."""
    auth(daemon, "set_credential", token="old-token")
    error = daemon.error("openhuman.auth_store_session", {"token": token, **params})
    assert "Session expired" not in error["message"]
    assert "SESSION_EXPIRED" not in error["message"]
    assert auth(daemon, "get_session_token") == {"token": "old-token"}
    return told(error)


def shown(backend: Recorder, daemon: Daemon) -> tuple[str | None, str | None]:
    """Make a call and give the credential that it showed: authorization, and x-api-key."""
    daemon.result("openhuman.billing_get_balance")
    headers = backend.seen[-1].headers
    return headers.get("authorization"), headers.get("x-api-key")


def jwt(payload: bytes | dict[str, Any], *, padded: bool = False) -> str:
    """Make a token of the form of a JWT."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    parts = [base64.urlsafe_b64encode(part).decode() for part in (b'{"alg":"none"}', text, b"signature")]
    return ".".join(part if padded else part.rstrip("=") for part in parts)


def soon(seconds: float) -> float:
    """Give the time in so many seconds."""
    return time.time() + seconds


def test_a_session_is_verified_and_stored(daemon: Daemon, backend: Recorder) -> None:
    """The new token is shown to the hosted API; the summary and the log lines never hold it."""
    before = datetime.now(UTC)
    backend.script = [ok({"_id": "u1", "name": "Ann"})]
    outcome = daemon.result("openhuman.auth_store_session", {"token": " new-token\u3000", "user_id": "hint"})
    summary = outcome["result"]
    updated, keys = datetime.fromisoformat(summary.pop("updatedAt")), summary.pop("metadataKeys")
    assert outcome == {
        "result": {
            "id": "app-session:default",
            "provider": "app-session",
            "profileName": "default",
            "kind": "token",
            "accountId": "u1",
            "workspaceId": None,
            "hasToken": True,
            "hasTokenSet": False,
        },
        "logs": [f"session JWT verified via GET /auth/me on {backend.url}", "session stored"],
    }
    assert keys == sorted(keys)
    assert abs((updated - before).total_seconds()) < 60
    assert [(seen.verb, seen.target, seen.headers["authorization"]) for seen in backend.seen] == [
        ("GET", "/auth/me", "Bearer new-token")
    ]
    assert auth(daemon, "get_session_token") == {"token": "new-token"}
    assert daemon.result("openhuman.auth_get_state") == {
        "result": {
            "isAuthenticated": True,
            "userId": "u1",
            "user": {"_id": "u1", "name": "Ann"},
            "profileId": "app-session:default",
            "credential": "session",
            "expiresAt": None,
        },
        "logs": ["session state fetched"],
    }
    assert shown(backend, daemon) == ("Bearer new-token", None)


PLACES = [
    {**place, "name": "Ann"}
    for name in ("id", "_id", "userId")
    for place in ({name: "u1"}, {"user": {name: "u1"}}, {"data": {name: "u1"}}, {"data": {"user": {name: "u1"}}})
]


@pytest.mark.parametrize("profile", PLACES, ids=json.dumps)
@pytest.mark.parametrize("enveloped", [True, False], ids=["enveloped", "bare"])
def test_the_verified_user_id_counts(
    daemon: Daemon, backend: Recorder, profile: dict[str, Any], *, enveloped: bool
) -> None:
    """It is found in every documented place, and a caller's hint does not replace it."""
    backend.script = [ok(profile) if enveloped else answer(body=profile)]
    assert auth(daemon, "store_session", token="t", userId="hint")["accountId"] == "u1"
    assert auth(daemon, "get_state")["userId"] == "u1"


@pytest.mark.parametrize("profile", [{"name": "Ann"}, {"id": "", "_id": None}, [], None, "text"], ids=json.dumps)
@pytest.mark.parametrize("name", ["userId", "user_id"])
def test_a_hint_counts_where_the_profile_has_no_id(daemon: Daemon, backend: Recorder, name: str, profile: Any) -> None:
    """Both spellings of the hint, and any form of a profile."""
    backend.script = [answer(raw=json.dumps(profile).encode())]
    assert auth(daemon, "store_session", **{"token": "t", name: " hint "})["accountId"] == "hint"
    backend.script = [answer(raw=json.dumps(profile).encode())]
    assert auth(daemon, "store_session", **{"token": "t", name: " "})["accountId"] is None


@pytest.mark.parametrize(
    "value", [b"1e400", b"9" * 5000, b'"\\ud83d"', b"12345678901234567890123"], ids=["inf", "long", "lone", "big"]
)
def test_a_strange_profile_is_no_bug_of_ours(daemon: Daemon, backend: Recorder, value: bytes) -> None:
    """Whatever JSON a profile holds, the session is stored and its state can be told."""
    backend.script = [answer(raw=b'{"id":"u1","strange":%b}' % value)]
    assert auth(daemon, "store_session", token="t")["accountId"] == "u1"
    assert auth(daemon, "get_state")["userId"] == "u1"


UNUSABLE = ["a/b", "a\\b", ".", "..", "x" * 129, "a\x00b", "/"]


@pytest.mark.parametrize("user_id", UNUSABLE, ids=ascii)
def test_an_unusable_user_id_is_refused(daemon: Daemon, backend: Recorder, user_id: str) -> None:
    """It might become part of a path; nothing is stored, whoever named it."""
    backend.script = [ok({"id": user_id})]
    refused(daemon, "new-token")
    backend.script = [ok({})]
    refused(daemon, "new-token", userId=user_id)


@pytest.mark.parametrize("user_id", ["x" * 128, "...", "a.b", "é@b:c"], ids=ascii)
def test_a_usable_user_id_is_taken(daemon: Daemon, backend: Recorder, user_id: str) -> None:
    """Up to 128 characters without separators."""
    backend.script = [ok({"id": user_id})]
    assert auth(daemon, "store_session", token="t")["accountId"] == user_id


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "bad token"), (403, "banned"), (400, "no"), (404, "gone"), (200, "request off")]
)
def test_a_session_that_fails_validation_is_not_stored(
    daemon: Daemon, backend: Recorder, status: int, reason: str
) -> None:
    """The hosted API's reason is told, and the session stored before stays."""
    backend.default = answer(status, {"success": False, "error": reason, "errorCode": "E"}, {"x-request-id": "req-1"})
    facts = {"httpStatus": status, "route": "GET /auth/me", "errorCode": "E", "requestId": "req-1"}
    assert refused(daemon, "new-token") == {
        "code": -32001,
        "message": f"{FAILED}{reason}",
        "data": {"kind": "unauthenticated", "retryable": False, **facts},
    }


@pytest.mark.parametrize("status", [200, 400, 401, 403])
@pytest.mark.parametrize(
    "reason", ["Session expired", "SESSION_EXPIRED", "SESSION_EXPIRED: Session expired; sign in again"]
)
def test_a_failed_validation_never_signs_the_user_out(
    daemon: Daemon, backend: Recorder, reason: str, status: int
) -> None:
    """The desktop signs the user out on these words, so they are not passed on."""
    backend.default = answer(status, {"success": False, "error": reason})
    error = refused(daemon, "new-token")
    assert error["data"]["kind"] == "unauthenticated"
    assert error["message"].startswith(FAILED)


def test_the_stored_token_itself_may_fail_validation(daemon: Daemon, backend: Recorder) -> None:
    """To validate the stored token again and fail leaves it stored."""
    backend.default = answer(401, {"success": False, "error": "bad token"})
    assert refused(daemon, "old-token")["data"]["kind"] == "unauthenticated"


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (CLOSE, "backend_unavailable", "error sending request: connection closed"),
        (SILENCE, "backend_timeout", "timed out"),
        (answer(503, {"success": False, "error": "Session expired"}), "backend_unavailable", "503"),
    ],
    ids=["closed", "silent", "failing"],
)
def test_a_hosted_api_out_of_reach_is_not_the_tokens_fault(
    daemon: Daemon, backend: Recorder, reply: bytes, kind: str, words: str
) -> None:
    """The kind is that of the transport."""
    backend.default = reply
    error = refused(daemon, "new-token", timeoutMs=300)
    assert (error["data"]["kind"], error["data"]["retryable"]) == (kind, True)
    assert words in error["message"]


def test_a_session_that_is_over_is_not_even_validated(daemon: Daemon, backend: Recorder) -> None:
    """A token past its time fails validation without a request."""
    error = refused(daemon, jwt({"exp": soon(-5)}))
    assert (error["code"], error["data"]["kind"]) == (-32001, "unauthenticated")
    assert error["message"].startswith(FAILED)
    assert backend.seen == []


OVER = {
    "past": soon(-1), "long-past": 1, "fraction": 1.5, "zero": 0, "negative": -1, "in-20-seconds": soon(20),
}  # fmt: skip
NOT_OVER: dict[str, Any] = {
    "in-a-year": jwt({"exp": soon(31_536_000)}),
    "beyond-the-calendar": jwt({"exp": 10**20}),
    "infinite": jwt(b'{"exp":1e400}'),
    "a-word": jwt({"exp": "soon"}),
    "null": jwt({"exp": None}),
    "true": jwt({"exp": True}),
    "array": jwt({"exp": [1]}),
    "none": jwt({"sub": "u1"}),
    "no-object": jwt(b"[1]"),
    "no-json": jwt(b'{"exp":1'),
    "not-utf-8": jwt(b'{"exp":1,"x":"\xff"}'),
    "two-parts": jwt({"exp": 1}).rpartition(".")[0],
    "four-parts": jwt({"exp": 1}) + ".x",
    "no-base64": "a.!!.c",
    "dots": "..",
    "opaque": "opaque-token",
}


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "not-padded"])
@pytest.mark.parametrize("filling", ["", "x", "xx"])
@pytest.mark.parametrize("exp", OVER.values(), ids=OVER)
def test_a_session_that_is_over_is_told_without_a_request(
    daemon: Daemon, backend: Recorder, exp: float, filling: str, *, padded: bool
) -> None:
    """Past its time, or within 30 seconds of it."""
    auth(daemon, "set_credential", token=jwt({"exp": exp, "x": filling}, padded=padded))
    expected = {"code": -32002, "message": EXPIRED, "data": {"kind": "session_expired", "retryable": False}}
    assert told(daemon.error("openhuman.billing_get_balance")) == expected
    expected["data"] = {"kind": "session_expired", "retryable": False, "moneyMoved": "no"}
    assert told(daemon.error("openhuman.billing_top_up", {"amountUsd": 5})) == expected
    assert auth(daemon, "get_state")["isAuthenticated"] is False
    assert backend.seen == []


@pytest.mark.parametrize("token", NOT_OVER.values(), ids=NOT_OVER)
def test_a_session_that_is_not_known_to_be_over_is_used(daemon: Daemon, backend: Recorder, token: str) -> None:
    """No JWT, or no time in it: the hosted API decides."""
    auth(daemon, "set_credential", token=token)
    assert shown(backend, daemon) == (f"Bearer {token}", None)
    assert auth(daemon, "get_state")["isAuthenticated"] is True


def test_a_session_with_a_minute_left_is_used(daemon: Daemon, backend: Recorder) -> None:
    """The margin is 30 seconds and no more."""
    token = jwt({"exp": soon(60)})
    auth(daemon, "set_credential", token=token)
    assert shown(backend, daemon) == (f"Bearer {token}", None)


@pytest.mark.parametrize(
    ("exp", "expires_at"),
    [(4102444800, "2100-01-01T00:00:00Z"), (1, "1970-01-01T00:00:01Z"), (0, "1970-01-01T00:00:00Z")],
)
def test_the_state_tells_when_a_session_ends(daemon: Daemon, exp: int, expires_at: str) -> None:
    """As an RFC 3339 time, and with the user that the token names."""
    state = auth(daemon, "set_credential", token=jwt({"exp": exp, "sub": "u9"}))
    assert (state["userId"], datetime.fromisoformat(state["expiresAt"])) == ("u9", datetime.fromisoformat(expires_at))


@pytest.mark.parametrize("kind", [None, "", " session ", "session"])
def test_a_session_is_stored_without_asking(daemon: Daemon, backend: Recorder, kind: str | None) -> None:
    """The state after it is the answer."""
    state = {
        "isAuthenticated": True, "userId": "u1", "user": {"name": "Ann"}, "profileId": "app-session:default",
        "credential": "session", "expiresAt": None,
    }  # fmt: skip
    assert auth(daemon, "set_credential", token=" t ", kind=kind, user_id="u1", user={"name": "Ann"}) == state
    assert auth(daemon, "get_state") == state
    assert backend.seen == []


def test_an_api_key_is_stored_and_comes_before_the_session(daemon: Daemon, backend: Recorder) -> None:
    """It goes out in a header of its own, until it is cleared."""
    auth(daemon, "set_credential", token="stored-token")
    state = auth(daemon, "set_credential", token="stored-key", kind="api-key")
    assert (state["isAuthenticated"], state["credential"]) == (True, "api-key")
    assert shown(backend, daemon) == (None, "stored-key")
    assert auth(daemon, "get_session_token") == {"token": "stored-token"}
    daemon.result("openhuman.auth_consume_login_token", {"loginToken": "once"})
    assert backend.seen[-1].headers.keys() & {"authorization", "x-api-key"} == set()
    assert auth(daemon, "clear_credential", kind="api-key") == {"removed": ["api-key"]}
    assert shown(backend, daemon) == ("Bearer stored-token", None)


def test_what_is_cleared_is_told(daemon: Daemon, backend: Recorder) -> None:
    """The session alone, one kind, or all."""
    for kind in ("session", "api-key"):
        auth(daemon, "set_credential", token="t", kind=kind)
    assert daemon.result("openhuman.auth_clear_session") == {"result": {"removed": True}, "logs": ["session cleared"]}
    assert auth(daemon, "clear_session") == {"removed": False}
    assert auth(daemon, "clear_credential", kind="session") == {"removed": []}
    auth(daemon, "set_credential", token="t")
    assert sorted(auth(daemon, "clear_credential", kind=None)["removed"]) == ["api-key", "session"]
    assert auth(daemon, "clear_credential") == {"removed": []}
    assert auth(daemon, "get_state") == SIGNED_OUT
    assert auth(daemon, "get_session_token") == {"token": None}
    assert daemon.error("openhuman.auth_get_me")["message"] == NO_CREDENTIAL
    assert backend.seen == []


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OPENHUMAN_API_KEY": " env-key ", "OPENHUMAN_TOKEN": "env-token"}, (None, "env-key")),
        ({"OPENHUMAN_API_KEY": " ", "OPENHUMAN_TOKEN": "env-token"}, ("Bearer env-token", None)),
        ({"OPENHUMAN_API_KEY": "", "OPENHUMAN_TOKEN": ""}, (None, "stored-key")),
    ],
    ids=["key", "token", "stored"],
)
def test_the_environment_comes_first_and_is_never_written_down(
    start: StartDaemon, home: Path, backend: Recorder, env: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    """The environment's key, its token, the stored key; and what is stored is on disk only sealed."""
    core = start(BACKEND_URL=backend.url, **FILE, **env)
    auth(core, "set_credential", token="stored-token")
    auth(core, "set_credential", token="stored-key", kind="api-key")
    assert shown(backend, core) == expected
    assert auth(core, "get_session_token") == {"token": env["OPENHUMAN_TOKEN"] or "stored-token"}
    assert auth(core, "get_state")["credential"] == ("api-key" if expected[1] else "session")
    assert core.end() == 0
    content = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert [secret for secret in (b"env-", b"stored-key", b"stored-token") if secret in content] == []


def test_a_credential_belongs_to_its_base_url(start: StartDaemon, backend: Recorder) -> None:
    """At another one it counts as absent, and the hint says where it belongs."""
    auth(start(BACKEND_URL=backend.url, **FILE), "set_credential", token="stored-token")
    with Recorder() as elsewhere:
        other = start(BACKEND_URL=elsewhere.url, **FILE)
        error = other.error("openhuman.billing_get_balance")
        assert backend.url in error["data"]["hint"]
        assert told(error) == {
            "code": -32001,
            "message": NO_CREDENTIAL,
            "data": {"kind": "unauthenticated", "retryable": False},
        }
        assert auth(other, "get_state") == SIGNED_OUT
        assert auth(other, "get_session_token") == {"token": None}
        assert elsewhere.seen == []
    again = start(BACKEND_URL=f"{backend.url}/v1/?x=1", **FILE)
    assert shown(backend, again) == ("Bearer stored-token", None)


def test_each_base_url_keeps_its_own_credential(start: StartDaemon, backend: Recorder) -> None:
    """To sign in at one signs nobody out at the other; to sign out forgets them all, since none may be left behind."""
    with Recorder() as elsewhere:
        here, there = (start(BACKEND_URL=recorder.url, **FILE) for recorder in (backend, elsewhere))
        auth(here, "set_credential", token="token-here")
        auth(there, "set_credential", token="token-there")
        assert [auth(daemon, "get_session_token")["token"] for daemon in (here, there)] == ["token-here", "token-there"]
        auth(here, "set_credential", token="newer-token")
        assert [auth(daemon, "get_session_token")["token"] for daemon in (here, there)] == [
            "newer-token",
            "token-there",
        ]
        elsewhere.script = [answer(401, {"success": False, "error": "no"})]
        assert there.error("openhuman.billing_get_balance")["data"]["kind"] == "session_expired"
        assert [auth(daemon, "get_session_token")["token"] for daemon in (here, there)] == ["newer-token", None]
        assert auth(there, "clear_session") == {"removed": True}
        assert auth(here, "get_session_token") == {"token": None}


UNSENDABLE = ["a\tb-mark", "a\x00b-mark", "a\x7fb-mark", "a\r\nx-evil: mark", "t\u00f6k-mark", "a\u2028b-mark"]


@pytest.mark.parametrize("token", UNSENDABLE, ids=ascii)
@pytest.mark.parametrize("method", ["store_session", "set_credential"])
def test_a_token_that_no_header_can_carry_is_refused(
    daemon: Daemon, backend: Recorder, method: str, token: str
) -> None:
    """It is refused by name, and without being repeated."""
    error = daemon.error(f"openhuman.auth_{method}", {"token": token})
    assert (error["code"], error["data"]["kind"]) == (-32602, "invalid_params")
    assert [item["path"] for item in error["data"]["params"]] == ["token"]
    assert "mark" not in json.dumps(error)
    assert backend.seen == []
    assert auth(daemon, "get_session_token") == {"token": None}


@pytest.mark.parametrize("name", ["OPENHUMAN_TOKEN", "OPENHUMAN_API_KEY"])
@pytest.mark.parametrize("secret", ["a\r\nx-evil: mark", "t\u00f6k-mark"], ids=ascii)
def test_such_a_secret_in_the_environment_is_named(
    start: StartDaemon, backend: Recorder, name: str, secret: str
) -> None:
    """The variable is told, and its value is not."""
    error = start(BACKEND_URL=backend.url, **{name: secret}).error("openhuman.billing_get_balance")
    assert (error["code"], error["data"]["kind"]) == (-32016, "configuration")
    assert name in error["message"]
    assert "mark" not in json.dumps(error)
    assert backend.seen == []


PLAIN_HTTP = {
    "code": -32016,
    "message": "backend credential requires HTTPS or a loopback HTTP endpoint",
    "data": {"kind": "configuration", "retryable": False},
}


@pytest.mark.parametrize(
    "host",
    ["192.0.2.1", "localhost.example.com", "127.0.0.1.example.com", "0.0.0.0", "[2001:db8::1]:80"],  # noqa: S104
)
def test_no_credential_goes_over_plain_http(start: StartDaemon, host: str) -> None:
    """Neither a key, nor a stored session, nor one to be validated."""
    core = start(BACKEND_URL=f"http://{host}", **FILE)
    assert told(core.error("openhuman.auth_store_session", {"token": "t"})) == PLAIN_HTTP
    auth(core, "set_credential", token="stored-token")
    assert told(core.error("openhuman.billing_get_balance")) == PLAIN_HTTP
    auth(core, "set_credential", token="stored-key", kind="api-key")
    assert told(core.error("openhuman.auth_get_me")) == PLAIN_HTTP


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST"])
def test_a_credential_goes_over_plain_http_to_this_machine(start: StartDaemon, backend: Recorder, host: str) -> None:
    """Loopback is for development."""
    core = start(BACKEND_URL=f"http://{host}:{backend.port}", OPENHUMAN_TOKEN="env-token")
    assert shown(backend, core) == ("Bearer env-token", None)


def test_a_credential_may_go_to_the_loopback_of_ipv6(start: StartDaemon) -> None:
    """Nobody listens there, but that is found out by trying."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        core = start(BACKEND_URL=f"http://[::1]:{bound.getsockname()[1]}", OPENHUMAN_TOKEN="env-token")
        assert core.error("openhuman.billing_get_balance")["data"]["kind"] == "backend_unavailable"


def test_no_token_is_ever_logged(start: StartDaemon, backend: Recorder) -> None:
    """Not by methods that take or give one, not when they fail, and not at any level."""
    tokens = {"env": "plain-env-secret", "stored": jwt({"sub": "u1", "mark": "stored-secret"}), "login": "login-secret"}
    core = start("--log-level", "debug", BACKEND_URL=backend.url, OPENHUMAN_API_KEY=tokens["env"], **FILE)
    for reply in (ok({"id": "u1"}), answer(401, {"success": False, "error": tokens["stored"]}), CLOSE):
        backend.default = reply
        for method, params in (
            ("auth_store_session", {"token": tokens["stored"]}),
            ("auth_set_credential", {"token": tokens["stored"]}),
            ("auth_set_credential", {"token": f"{tokens['stored']}\n."}),
            ("auth_consume_login_token", {"loginToken": tokens["login"]}),
            ("auth_get_session_token", {}),
            ("auth_get_me", {}),
            ("auth_nope", {"token": tokens["stored"]}),
        ):
            core.ask(f"openhuman.{method}", params)
    assert core.end() == 0
    assert [name for name, token in tokens.items() if token in core.log()] == []
    assert len(core.log_records("call")) == 21
