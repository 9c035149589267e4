"""What is covered in a log: by key, by shape, wherever it stands, and in a time in proportion to the text."""

from __future__ import annotations

import json
import time
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from openhuman_core.runtime.redaction import covered, redact, without_tokens

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"
CARD = "4242424242424242"

SECRET_KEYS = [
    *("token", "jwtToken", "login_token", "LOGIN-TOKEN", "refreshToken", "accessTokens", "apiKey", "x-api-key"),
    *("APIKEY", "API_KEY", "X-Api-Key", "authorization", "Proxy-Authorization", "auth", "cookie", "Set-Cookie"),
    *("clientSecret", "client_secret", "client-secret", "CLIENT_SECRET", "code", "couponCode", "coupon_code"),
    *("inviteCode", "paymentMethodId", "payment_method_id", "defaultPaymentMethodId", "email", "userEmail", "e_mail"),
    *("password", "PASSWORD", "passwd", "secret", "secretKey", "privateKey", "key", "key_material", "idempotencyKey"),
    *("Idempotency-Key", "deviceFingerprint", "firstName", "lastName", "username", "name", "line1", "postalCode"),
    *("phoneNumber", "cvc", "cardNumber", "last4", "telegramId", "session", "sessionToken", "webhookSignature"),
    *("surname", "mobile", "tel", "street", "ssn", "pan", "card_holder", "holder", "recipient", "totp", "csrf", "sig"),
    *("xsrfToken", "ip", "allowedIps", "card[cvc]", "user[password]", "DBPASS", "PHPSESSID", "oauth", "authkey"),
    *("key1", "code_2", "auth2", "last_4"),
]
HARMLESS_KEYS = [
    *("method", "route", "outcome", "ms", "level", "time", "exitCode", "exit_code", "errorCode", "statusCode", "pid"),
    *("kind", "retryable", "hint", "version", "framing", "sandbox", "count", "errno", "text", "url", "amountUsd", ""),
    *("panel", "zipped", "holders", "telemetry", "design", "script", "pipeline"),
]

# What stands in a text, and what is left of it.
TEXTS = [
    (f"token {JWT} end", "token [redacted] end"),
    ("token eyJhbGciOiJub25lIn0.e30. end", "token [redacted] end"),
    ("cut eyJhbGciOiJIUzI1NiJ9.eyJzdWI", "cut [redacted]"),
    ("Authorization: Bearer abc.DEF-1~2+3/4==", "Authorization: [redacted]"),
    ("sent bearer abc", "sent bearer [redacted]"),
    ("proxy wants Basic YWRhOmxvdmVsYWNl", "proxy wants Basic [redacted]"),
    ("Authorization: Digest username=\"ada\", nonce='n'", "Authorization: [redacted]"),
    ("saw sk_live_51abcDEF.", "saw [redacted]."),
    ("pk_test_abcdef rk_live_abcdef whsec_abcdef0123 ohk_abcdef01", "[redacted] [redacted] [redacted] [redacted]"),
    ("sk-proj-abc123", "[redacted]"),
    ("pi_3Nabcdef_secret_xyz123", "[redacted]"),
    ("seti_1Nabcdef_secret_xyz123", "[redacted]"),
    ("of pm_1Nabcdef and cs_live_a1b2c3", "of [redacted] and [redacted]"),
    ("to ada.lovelace+x@mail.example.com", "to [redacted]"),
    ("to ada@localhost", "to [redacted]"),
    ("to ada%40example.com", "to [redacted]"),
    ("to ada%2Bx%40example.com", "to [redacted]"),
    ("paid with 4242 4242 4242 4242", "paid with [redacted]"),
    ("paid with 4242-4242-4242-4242.", "paid with [redacted]."),
    (f"paid with {CARD}", "paid with [redacted]"),
    ("paid with 4242%204242%204242%204242", "paid with [redacted]"),
    ("at 4242424242424243", "at 4242424242424243"),
    ("GET https://h/p?token=x&y=1", "GET https://h/[redacted]"),
    ("GET https://h/p?a=1#fragment", "GET https://h/[redacted]"),
    ("pay at https://checkout.example/c/pay/abc#def now", "pay at https://checkout.example/[redacted] now"),
    ("at https://user:word@h:80/", "at https://[redacted]@h:80/"),
    ("at https://word@h:80", "at https://[redacted]@h:80"),
    (r"at https:\/\/pay.example\/c\/abc", r"at https:\/\/pay.example/[redacted]"),
    ("back to https%3A%2F%2Fh%2Fp%3Ftoken%3Dx", "back to [redacted]"),
    ("the base URL http://127.0.0.1:8787", "the base URL http://127.0.0.1:8787"),
    ("/p?token=x#y", "/p?[redacted]"),
    ("GET /teams/t1/members", "GET /teams/[redacted]/members"),
    ("PATCH /payments/credits/auto-recharge/cards/pm", "PATCH /payments/credits/auto-recharge/cards/pm"),
    ("PUT /teams/{teamId}/members/{userId}/role", "PUT /teams/{teamId}/members/{userId}/role"),
    ('"GET /teams/acme HTTP/1.1" 200', '"GET /[redacted] HTTP/1.1" 200'),
    ("team 64b7f8a1c2d3e4f5a6b7c8d9", "team 64b7f8a1…"),
    ("user 123e4567-e89b-12d3-a456-426614174000", "user 123e4567…"),
    ("teamId=acme-corporation", "teamId=acme-cor…"),
    ("opaque Zx81kQ0aB7cD6eF5gH4iJ3kL2mN1oP0q", "opaque [redacted]"),
    ('{"clientSecret": "a b\\"c", "x": 1}', '{"clientSecret": "[redacted]", "x": 1}'),
    ('{"cvc":123,"x":1}', '{"cvc":[redacted],"x":1}'),
    ('{"token": ["a", "b"]}', '{"token": [redacted]'),
    ("{'token': 'abc', 'n': 1}", "{'token': '[redacted]', 'n': 1}"),
    ('{"a": "{\\"token\\": \\"x\\\\\\"y\\"}"}', '{"a": "{\\"token\\": \\"[redacted]\\"}"}'),
    ('"token": "cut', '"token": "[redacted]'),
    ("[(b'set-cookie', b'sid=abc; x'), (b'date', b'now')]", "[(b'set-cookie', b'[redacted]'), (b'date', b'now')]"),
    ("Cookie: a=b; c=d\nDate: now", "Cookie: [redacted]\nDate: now"),
    ("password: correct horse battery", "password: [redacted]"),
    ("token=abc&x=1 y", "token=[redacted]&x=1 y"),
    ("--token=abc --verbose", "--token=[redacted] --verbose"),
    ("Credential(secret=SecretStr('abc'))", "Credential(secret=[redacted]"),
    ("%22clientSecret%22%3A%22abc%22 end", "%22clientSecret%22%3A[redacted] end"),
    ("loginToken%3Dabc end", "loginToken%3D[redacted] end"),
    ("<token>abc</token>", "<token>[redacted]</token>"),
    (r"one\ntoken: abc", r"one\ntoken: [redacted]"),
    ("exit code: 1, error code=2", "exit code: 1, error code=2"),
    ("card[cvc]=123&user[password]=abc&x=1", "card[cvc]=[redacted]&user[password]=[redacted]&x=1"),
    ("card%5Bcvc%5D=123&x=1", "card%5Bcvc%5D=[redacted]&x=1"),
    ("headers['x-api-key'] = 'abc', done", "headers['x-api-key'] = '[redacted]', done"),
    ("if token == 'abc' or pin != 1234:", "if token == '[redacted]' or pin != [redacted]"),
    ('[["authorization", "abc"], ["date", "now"]]', '[["authorization", "[redacted]"], ["date", "now"]]'),
    ("(b'x-api-key', b'abc')", "(b'x-api-key', b'[redacted]')"),
    ('{"name": "authorization", "value": "abc"}', '{"name": "[redacted]", "value": "[redacted]"}'),
    ("{'key': 'date', 'value': 'now'}", "{'key': '[redacted]', 'value': 'now'}"),
    ('{"header": "X-Api-Key", "Value": "abc"}', '{"header": "X-Api-Key", "Value": "[redacted]"}'),
    ("<name>password</name><value>abc</value>", "<name>[redacted]</name><value>[redacted]</value>"),
    ('{"grant_type": "password", "password": "abc"}', '{"grant_type": "password", "password": "[redacted]"}'),
    (r"{\"kind\": \"token\", \"token\": \"abc\"}", r"{\"kind\": \"token\", \"token\": \"[redacted]\"}"),
    ("{'error': 'bad token', 'token': 'abc'}", "{'error': 'bad token', 'token': '[redacted]'}"),
    ("password[]=abc&user[pin][0]=123&x=1", "password[]=[redacted]&user[pin][0]=[redacted]&x=1"),
    ("user%5Bpassword%5D%5B%5D=abc&x=1", "user%5Bpassword%5D%5B%5D=[redacted]&x=1"),
    ("password        =        abc", "password        =        [redacted]"),
    ('password="""a "b" c"""; x', 'password="""[redacted]"""; x'),
    ("passcode=rb'abc', pin=F'abc'", "passcode=rb'[redacted]', pin=F'[redacted]'"),
]
PLAIN = [
    *("credit top-up initiated", "POST /payments/credits/top-up", "task_manager at 12:00", "why? because"),
    *("openhuman_core.domains.billing", "pip_install", "the bearer", "3dd397d771e6ac4e", "KeyError: 'limit'"),
    *("~/core/config.toml: unknown setting x", "2026-11-25T18:31:36+0000", "1732559496123", "error 127"),
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_secret_is_known_by_its_key(key: str) -> None:
    """However it is spelled, and however deep it stands."""
    found = covered({"a": [{key: "x"}, {key: {"b": 1}}, {key: 1234}, {key: None}]}, "field")
    assert found == {"a": [{key: "[redacted]"}, {key: "[redacted]"}, {key: "[redacted]"}, {key: None}]}


@pytest.mark.parametrize("key", HARMLESS_KEYS)
def test_what_a_log_is_for_is_not_covered(key: str) -> None:
    """A log that covers everything says nothing."""
    assert covered({key: "value"}) == {key: "value"}


@pytest.mark.parametrize(("text", "left"), TEXTS)
def test_a_secret_in_a_text_is_known_by_its_key_or_its_shape(text: str, left: str) -> None:
    """And what was covered once is not covered again."""
    assert redact(text) == left
    assert redact(left) == left


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_without_secrets_stays(text: str) -> None:
    """It is what somebody wanted to read."""
    assert redact(text) == text


PAIRS = [
    ([["authorization", "x"], ["date", "now"]], [["authorization", "[redacted]"], ["date", "now"]]),
    ([(b"X-Api-Key", b"x")], [["X-Api-Key", "[redacted]"]]),
    ({b"password": b"x"}, {"password": "[redacted]"}),
    ({"name": "Cookie", "value": "x"}, {"name": "[redacted]", "value": "[redacted]"}),
    ({"Value": "x", "Name": "password"}, {"Value": "[redacted]", "Name": "[redacted]"}),
    ({"header": "X-Vault-Auth", "value": "x"}, {"header": "X-Vault-Auth", "value": "[redacted]"}),
    ({"key": "date", "value": "now"}, {"key": "[redacted]", "value": "now"}),
]


@pytest.mark.parametrize(("value", "left"), PAIRS)
def test_a_key_may_stand_beside_its_value(value: Any, left: Any) -> None:
    """As headers do in other programs' logs: in pairs, as bytes, or as the value of a member."""
    assert covered(value) == left


def test_values_of_any_type_are_covered() -> None:
    """Also those that JSON has not, and the names of members; an exception says nothing but its type."""
    fields: dict[str, Any] = {
        "path": PurePosixPath("/pay/ada@example.com"),
        "bytes": f"bearer {JWT}".encode(),
        "set": {JWT},
        "pair": (1, 2.5, True, None),
        "number": int(CARD),
        "problem": ValueError("canary"),
        "secret": SecretStr("canary"),
        "teamId": "64b7f8a1-and-more",
        "ids": ["short", "longer-than-that"],
        "correlationId": "4242424242424242",
        "ada@example.com": 1,
    }
    assert covered(fields) == {
        "path": "/pay/[redacted]",
        "bytes": "bearer [redacted]",
        "set": ["[redacted]"],
        "pair": [1, 2.5, True, None],
        "number": "[redacted]",
        "problem": "<class 'ValueError'>",
        "secret": "[redacted]",
        "teamId": "64b7f8a1…",
        "ids": ["short", "longer-t…"],
        "correlationId": "4242424242424242",
        "[redacted]": 1,
    }


@given(
    key=st.sampled_from(SECRET_KEYS),
    value=st.text(min_size=1).map(lambda text: f"canary{text}canary"),
    before=st.text(alphabet="ab \n{,[(\\'\":=%").map(lambda text: f"{text} "),
)
def test_no_value_of_json_in_a_text_comes_through(key: str, value: str, before: str) -> None:
    """Whatever characters are in it, and whatever stands before it, once or twice encoded."""
    once = json.dumps({key: value, "after": 1})
    for text in (once, json.dumps(once), repr({key: value, "after": 1}), json.dumps({key: value}, ensure_ascii=False)):
        assert "canary" not in redact(before + text)


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "a.", "a@", "-", "eyJa.", "eyJ", "sk_", "?", "bearer ", "a=", "token=", "token: ", "\\", '\\"', '"'),
        *("'token': '", "_t", "4242 ", "4", "%3A", "https://", "://a@", "a:", "GET /", "{", "a,", "pi_a", "Ab1", "A"),
        *(
            "token=[redacted] ",
            "user=[redacted] cookie=[redacted] ",
            "header: ",
            "name=",
            "key[0]",
            "'token', ",
            "auth ",
        ),
        *("A1-", "a%40", "%2B", "a%2B", " ", "\n", "key:\n", 'token="\\\\', "\\\\'token\\\\': \\\\'"),
    ],
)
def test_no_text_takes_long_to_redact(piece: str) -> None:
    """Whoever prints a lot must not stop the log: a mebibyte of anything takes a second or two, not its square."""
    text = (piece * 2**20)[: 2**20]
    start = time.process_time()
    redact(text)
    without_tokens(text, ["a-secret-of-ours", text])
    assert time.process_time() - start < 12


def test_an_error_keeps_the_hosted_apis_words_but_no_token() -> None:
    """Neither one that was sent nor another one; an address or an id in a reason is the caller's to read."""
    told = {
        "message": f"bad key ohk_0123456789 and my secret/word for ada@example.com of pi_3Nabcdef: {JWT}",
        "details": {"received": ["my%20secret%2Fword", 7, None], JWT: "my secret/word"},
    }
    assert without_tokens(told, ["my secret/word", "can"]) == {
        "message": "bad key [redacted] and [redacted] for ada@example.com of pi_3Nabcdef: [redacted]",
        "details": {"received": ["[redacted]", 7, None], "[redacted]": "[redacted]"},
    }


@pytest.mark.parametrize(
    "form",
    [
        r"tok/Ab+cd=ef\"vw",
        r"tok\/Ab+cd=ef\"vw",
        "tok%2FAb%2Bcd%3Def%22vw",
        "tok%2fAb%2bcd%3def%22vw",
        "tok/Ab+cd=ef%22vw",
        "dG9rL0FiK2NkPWVmInZ3",
    ],
)
def test_a_secret_that_was_sent_is_known_in_other_spellings(form: str) -> None:
    """As JSON, URLs and headers spell it."""
    assert without_tokens(f"you sent <{form}>", ['tok/Ab+cd=ef"vw']) == "you sent <[redacted]>"


def test_a_short_secret_is_covered_where_it_stands_alone() -> None:
    """It would be a part of many words."""
    assert without_tokens("team of teams", ["team"]) == "[redacted] of teams"
