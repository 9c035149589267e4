"""Every method of the contract's tables: it is there, asks the hosted API as told, and passes the answer through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from openhuman_core.app import registry
from openhuman_core.registry.method import Method
from tests.contract import ALL_METHODS, BY_NAME, METHODS, Example, Row
from tests.support.daemon import Daemon, request
from tests.support.recorder import Recorder, answer, ok

TOKEN = "test-session-token"
# What a filter, a float or a second encoder would spoil: fields nobody knows, forms of numbers, nulls, escapes.
PAYLOAD = (
    b'{"unknown":{"deep":[null,{"a":null}],"":[]},"n":[1.50,1e2,-0.0,12345678901234567890123,0.10000000000000000001,'
    b'1E+400],"s":"Z\xc3\xbcrich \xe2\x82\xac","pair":"\\ud83d\\ude00","escaped":"\\u00e9\\/","b":1,"a":[false,true]}'
)


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    """Give a hosted API that all tests here share."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def daemon(backend: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a signed-in daemon that all tests here share."""
    env = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": TOKEN, "OPENHUMAN_CREDENTIAL_STORE": "file"}
    with Daemon(tmp_path_factory.mktemp("home"), env=env) as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def _fresh(backend: Recorder) -> None:
    """Forget what the test before saw and ordered."""
    backend.seen.clear()
    backend.script.clear()
    backend.default = ok({})


def exact(text: bytes) -> Any:
    """Read JSON so that the forms of numbers, the order of members and repeated members count."""
    return json.loads(text, parse_int=_number, parse_float=_number, object_pairs_hook=lambda pairs: ("object", pairs))


def _number(text: str) -> tuple[str, str]:
    return ("number", text)


def exact_result(daemon: Daemon, name: str, params: Any) -> tuple[Any, Any]:
    """Make one call and give its payload and its log lines, as `exact` reads them."""
    daemon.send(request("exact", name, params))
    members = dict(exact(daemon.line())[1])
    assert "result" in members, members
    kind, outcome = members["result"]
    assert (kind, [name for name, _ in outcome]) == ("object", ["result", "logs"])
    return outcome[0][1], outcome[1][1]


def facts(method: Method) -> dict[str, Any]:
    """Give what the registry says of a method, in the contract's words."""
    params = {field.alias or name: field.is_required() for name, field in method.params.model_fields.items()}
    return {
        "namespace": method.namespace.name,
        "function": method.function,
        "required": [name for name, required in params.items() if required],
        "optional": sorted(name for name, required in params.items() if not required),
        "route": str(method.route) if method.route else None,
        "log": method.log,
        "effect": str(method.effect),
        "destructive": method.destructive,
        "secret": method.secret,
        "needs_credential": method.needs_credential,
    }


def expected_facts(row: Row) -> dict[str, Any]:
    """Give the same of the contract's row."""
    return {
        "namespace": row.namespace,
        "function": row.function,
        "required": row.required.split(),
        "optional": sorted(row.optional.split()),
        "route": row.route,
        "log": row.log,
        "effect": row.effect,
        "destructive": "destructive" in row.marks,
        "secret": "secret" in row.marks,
        "needs_credential": row.credential == "call",
    }


def test_the_methods_are_those_of_the_contract() -> None:
    """Nothing is missing, and nothing is there that the contract does not name."""
    assert {method.name for method in registry().all()} == set(BY_NAME)


@pytest.mark.parametrize("row", ALL_METHODS, ids=lambda row: row.name)
def test_a_method_is_declared_as_in_the_contract(row: Row) -> None:
    """Params, route, log line, effect and marks are the contract's; an open log line is one sentence."""
    found = facts(registry().find(row.name))
    if row.log is None:
        assert found["log"]
        found["log"] = None
    assert found == expected_facts(row)


SENT = [(row, example) for row in METHODS for example in row.examples if example.target is not None]
LOCAL = [(row, example) for row in METHODS for example in row.examples if example.target is None]


def _name(value: object) -> str:
    return value.name if isinstance(value, Row) else "full" if value not in _MINIMAL else "minimal"


_MINIMAL = [row.minimal for row in METHODS]


@pytest.mark.parametrize(("row", "example"), SENT, ids=_name)
def test_a_request_is_the_contracts_byte_for_byte(
    daemon: Daemon, backend: Recorder, row: Row, example: Example
) -> None:
    """Verb, raw target, body, and the headers that the contract names."""
    daemon.result(row.name, example.params)
    shown = {"call": TOKEN, "params": example.params.get("token"), "": None}[row.credential]
    assert row.route is not None
    assert [
        (
            seen.verb,
            seen.target,
            seen.body,
            seen.headers.get("content-type"),
            seen.headers.get("authorization"),
            seen.headers.get("x-api-key"),
            seen.headers.get("idempotency-key"),
        )
        for seen in backend.seen
    ] == [
        (
            row.route.split()[0],
            example.target,
            example.body or b"",
            None if example.body is None else "application/json",
            None if shown is None else f"Bearer {shown}",
            None,
            None,
        )
    ]


@pytest.mark.parametrize("row", [row for row in METHODS if row.route and row.credential != "params"], ids=_name)
def test_an_answer_passes_through_untouched(daemon: Daemon, backend: Recorder, row: Row) -> None:
    """Every method gives the payload as it came, and its one log line."""
    backend.script = [answer(raw=b'{"success":true,"data":%b,"message":"ignored"}' % PAYLOAD)]
    payload, logs = exact_result(daemon, row.name, row.minimal.params)
    assert payload == exact(PAYLOAD)
    assert len(logs) == 1
    assert logs == [row.log or logs[0]]
    assert logs[0].strip()


@pytest.mark.parametrize(("row", "example"), LOCAL, ids=_name)
def test_a_local_method_asks_nothing(daemon: Daemon, backend: Recorder, row: Row, example: Example) -> None:
    """What is local sends nothing and ends in its log line."""
    _, logs = exact_result(daemon, row.name, example.params)
    assert len(logs) == 1
    assert logs == [row.log or logs[0]]
    assert backend.seen == []


@pytest.mark.parametrize(
    "payload",
    [
        b'{"name":"cut \\ud83d"}',
        b'{"name":"cut \\ud83d","n":[1.50,1e2,12345678901234567890123]}',
        b'{"name":"cut \\ud83d","n":1e400}',
        b"[1.50,[],{}]",
        b'"text"',
        b"1e2",
        b"0",
        b"false",
        b'""',
        b"null",
    ],
    ids=[
        "lone-escape",
        "lone-escape-and-numbers",
        "lone-escape-and-huge-number",
        "array",
        "string",
        "number",
        "zero",
        "false",
        "empty-string",
        "null",
    ],
)
def test_any_bare_payload_passes_through(daemon: Daemon, backend: Recorder, payload: bytes) -> None:
    """What is no envelope is the payload, whatever JSON it is."""
    backend.script = [answer(raw=payload)]
    assert exact_result(daemon, "openhuman.team_get_usage", {}) == (exact(payload), ["team usage fetched from backend"])


def test_a_payload_with_line_ends_is_one_frame(daemon: Daemon, backend: Recorder) -> None:
    """Pretty-printed JSON cannot break a line of the wire."""
    backend.script = [answer(raw=b'{\r\n  "success": true,\n  "data": {\n    "a": [\n 1.50 ]\n  }\n}\n')]
    payload, _ = exact_result(daemon, "openhuman.team_get_usage", {})
    assert payload == exact(b'{"a":[1.50]}')


@pytest.mark.parametrize(
    ("given", "segment"),
    [
        ("team/with?reserved", "team%2Fwith%3Freserved"),
        ("a b", "a%20b"),
        ("é", "%C3%A9"),
        ("💳", "%F0%9F%92%B3"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a@b", "a%40b"),
        ("!$&'()*,;:=", "%21%24%26%27%28%29%2A%2C%3B%3A%3D"),
        ("a+b", "a%2Bb"),
        ("#[]", "%23%5B%5D"),
        ('"<>\\^`{|}', "%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("Az09-._~", "Az09-._~"),
        ("a\tb\nc\x00\x7f", "a%09b%0Ac%00%7F"),
        ("...", "..."),
        ("../x", "..%2Fx"),
        ("%2e%2e", "%252e%252e"),
        ("\x1cx\x1c", "%1Cx%1C"),
    ],
)
def test_an_id_is_percent_encoded_whole(daemon: Daemon, backend: Recorder, given: str, segment: str) -> None:
    """An id stays one segment of the path, whatever it holds."""
    daemon.result("openhuman.team_remove_member", {"teamId": given, "userId": given})
    daemon.result("openhuman.billing_get_coinbase_charge", {"gatewayTransactionId": given, "sync": True})
    assert [seen.target for seen in backend.seen] == [
        f"/teams/{segment}/members/{segment}",
        f"/payments/coinbase/charge/{segment}?sync=true",
    ]


def test_a_very_long_id_is_no_bug_of_ours(daemon: Daemon, backend: Recorder) -> None:
    """An id of any length is sent or refused, and never ends in an internal error."""
    answered = daemon.ask("openhuman.team_get_team", {"teamId": "x" * 70_000})
    assert answered.get("error", {}).get("data", {}).get("kind") != "internal_error"
    assert len(backend.seen) == ("result" in answered)


WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_WHITE_SPACE = ("\x1c", "\x1d", "\x1e", "\x1f", "\u200b", "\u180e", "\ufeff", "\x00")


def test_unicode_white_space_is_trimmed_at_both_ends(daemon: Daemon, backend: Recorder) -> None:
    """Every kind of white space goes at the ends and stays inside."""
    params = {"teamId": f"{WHITE_SPACE}t 1{WHITE_SPACE}", "name": f"{WHITE_SPACE}a\u3000\x85b{WHITE_SPACE}"}
    daemon.result("openhuman.team_update_team", params)
    assert [(seen.target, json.loads(seen.body)) for seen in backend.seen] == [
        ("/teams/t%201", {"name": "a\u3000\x85b"})
    ]


@pytest.mark.parametrize("character", NOT_WHITE_SPACE, ids=ascii)
def test_what_is_no_white_space_is_not_trimmed(daemon: Daemon, backend: Recorder, character: str) -> None:
    """Separators of ASCII and characters of no width stay, and are not empty."""
    daemon.result("openhuman.team_create_team", {"name": character})
    assert [json.loads(seen.body) for seen in backend.seen] == [{"name": character}]


CHARGE = "billing_create_coinbase_charge"
CASES: list[tuple[str, str, dict[str, Any], str]] = [
    # id, method, params, body
    ("known-plan-in-lower-case", "billing_purchase_plan", {"plan": " pro_monthly "}, '{"plan":"PRO_MONTHLY"}'),
    ("known-plan-in-mixed-case", "billing_purchase_plan", {"plan": "Basic_Yearly"}, '{"plan":"BASIC_YEARLY"}'),
    ("known-coinbase-plan", CHARGE, {"plan": "pro"}, '{"plan":"PRO","interval":"annual"}'),
    ("known-team-plan", "team_purchase_plan", {"teamId": "t", "plan": "basic"}, '{"plan":"BASIC"}'),
    ("other-plan-as-it-is", "billing_purchase_plan", {"plan": "Custom"}, '{"plan":"Custom"}'),
    ("plan-with-a-dash", "billing_purchase_plan", {"plan": "pro-monthly"}, '{"plan":"pro-monthly"}'),
    ("plan-with-dotless-i", "billing_purchase_plan", {"plan": "bas\u0131c"}, '{"plan":"bas\u0131c"}'),
    ("plan-with-long-s", "billing_purchase_plan", {"plan": "ba\u017fic"}, '{"plan":"ba\u017fic"}'),
    ("blank-coupon", "billing_purchase_plan", {"plan": "X", "couponCode": " \u3000"}, '{"plan":"X"}'),
    ("null-coupon", "billing_purchase_plan", {"plan": "X", "couponCode": None}, '{"plan":"X"}'),
    ("trimmed-coupon", "billing_purchase_plan", {"plan": "X", "couponCode": " c "}, '{"plan":"X","couponCode":"c"}'),
    ("blank-interval", CHARGE, {"plan": "X", "interval": " "}, '{"plan":"X","interval":"annual"}'),
    ("null-interval", CHARGE, {"plan": "X", "interval": None}, '{"plan":"X","interval":"annual"}'),
    ("trimmed-interval", CHARGE, {"plan": "X", "interval": " Y "}, '{"plan":"X","interval":"Y"}'),
    ("empty-metadata", CHARGE, {"plan": "X", "metadata": {}}, '{"plan":"X","interval":"annual","metadata":{}}'),
    ("null-metadata", CHARGE, {"plan": "X", "metadata": None}, '{"plan":"X","interval":"annual"}'),
    ("gateway", "billing_top_up", {"amountUsd": 5, "gateway": " CoinBase"}, '{"amountUsd":5,"gateway":"coinbase"}'),
    ("blank-gateway", "billing_top_up", {"amountUsd": 5, "gateway": "\xa0"}, '{"amountUsd":5,"gateway":"stripe"}'),
    ("null-gateway", "billing_top_up", {"amountUsd": 5, "gateway": None}, '{"amountUsd":5,"gateway":"stripe"}'),
    ("large-amount", "billing_top_up", {"amountUsd": 10**20}, '{"amountUsd":100000000000000000000,"gateway":"stripe"}'),
    ("small-amount", "billing_top_up", {"amountUsd": 0.01}, '{"amountUsd":0.01,"gateway":"stripe"}'),
    ("blank-team-name", "team_update_team", {"teamId": "t", "name": " \n"}, "{}"),
    ("null-team-name", "team_update_team", {"teamId": "t", "name": None}, "{}"),
    ("null-invite-limits", "team_create_invite", {"teamId": "t", "maxUses": None, "expiresInDays": None}, "{}"),
    ("zero-invite-limit", "team_create_invite", {"teamId": "t", "maxUses": 0}, '{"maxUses":0}'),
    ("blank-urls", "team_purchase_plan", {"teamId": "t", "plan": "X", "cancelUrl": " "}, '{"plan":"X"}'),
    ("blank-return-url", "team_create_billing_portal", {"teamId": "t", "returnUrl": ""}, "{}"),
    ("empty-scopes", "api_keys_create", {"name": "n", "scopes": [], "allowedIps": None}, '{"name":"n","scopes":[]}'),
    ("seat-switched-off", "budgets_update_seat", {"seatId": "s", "enabled": False}, '{"enabled":false}'),
    ("blank-referral-code", "referral_claim", {"code": " "}, '{"code":""}'),
    ("blank-fingerprint", "referral_claim", {"code": " c ", "deviceFingerprint": " "}, '{"code":"c"}'),
    ("trimmed-login-token", "auth_consume_login_token", {"loginToken": "\u3000once\x85"}, '{"token":"once"}'),
    ("payload-verbatim", "billing_update_auto_recharge",
     {"payload": {"z": None, "weeklyLimitUsd": 1.5, "a": {"y": [None, True, 100], "x": " é "}, "": ""}},
     '{"z":null,"weeklyLimitUsd":1.5,"a":{"y":[null,true,100],"x":" é "},"":""}'),
    ("empty-payload", "billing_update_card", {"paymentMethodId": "p", "payload": {}}, "{}"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params", "body"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_body_holds_what_the_rules_make_of_the_params(
    daemon: Daemon, backend: Recorder, method: str, params: dict[str, Any], body: str
) -> None:
    """Trimming, defaults, absent optionals and verbatim payloads, as bytes."""
    daemon.result(f"openhuman.{method}", params)
    assert [seen.body.decode() for seen in backend.seen] == [body]


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"limit": None, "offset": None}, "?limit=20&offset=0"),
        ({"offset": 5}, "?limit=20&offset=5"),
        ({"limit": 10**20}, "?limit=100000000000000000000&offset=0"),
    ],
    ids=["nulls", "one-given", "beyond-64-bits"],
)
def test_both_ends_of_a_page_are_always_sent(
    daemon: Daemon, backend: Recorder, params: dict[str, Any], query: str
) -> None:
    """The limit and the offset are sent in that order, given or not."""
    daemon.result("openhuman.billing_get_transactions", params)
    assert [seen.target for seen in backend.seen] == [f"/payments/credits/transactions{query}"]


@pytest.mark.parametrize("sync", [False, None])
def test_a_charge_is_synchronized_only_when_asked(daemon: Daemon, backend: Recorder, sync: object) -> None:
    """No and null leave the query away."""
    daemon.result("openhuman.billing_get_coinbase_charge", {"gatewayTransactionId": "g", "sync": sync})
    assert [seen.target for seen in backend.seen] == ["/payments/coinbase/charge/g"]


@pytest.mark.parametrize("params", [None, ..., {}], ids=["null", "absent", "empty"])
def test_no_params_are_the_same_as_empty_ones(daemon: Daemon, params: Any) -> None:
    """Null, absent and empty params mean the same."""
    assert daemon.result("openhuman.team_list_teams", params) == {"result": {}, "logs": ["teams fetched from backend"]}


@pytest.mark.parametrize("row", METHODS, ids=_name)
def test_every_method_takes_the_common_params(daemon: Daemon, backend: Recorder, row: Row) -> None:
    """A timeout and a progress token anywhere, and a key where the method writes, which becomes a header."""
    key = row.name + "".join(map(chr, range(0x21, 0x7F)))  # a key is for one method
    common = {"timeoutMs": 600_000, "progressToken": "p"} | ({} if row.effect == "read" else {"idempotencyKey": key})
    backend.default = ok({"status": "COMPLETED"})  # nothing is left to wait for
    daemon.result(row.name, {**row.minimal.params, **common})
    assert [(seen.target, seen.headers.get("idempotency-key")) for seen in backend.seen] == (
        [(row.minimal.target, common.get("idempotencyKey"))] if row.route else []
    )
    nulls = dict.fromkeys((*common, *row.optional.split()))
    daemon.result(row.name, {**row.minimal.params, **nulls})
