"""What is refused before anything is sent, with which words, and which refusal comes first (contract, section 1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhuman_core.app import registry
from openhuman_core.errors import InvalidParams
from openhuman_core.registry.params import check
from tests.contract import METHODS, Row
from tests.support.daemon import Daemon
from tests.support.recorder import Recorder

NO_CREDENTIAL = "no backend session token; run auth_store_session first"
PLAIN_HTTP = "backend credential requires HTTPS or a loopback HTTP endpoint"
AMOUNT = "amountUsd must be a finite number greater than 0"
GATEWAY = "gateway must be one of: stripe, coinbase"
MARK = "zq9-a-value"


@pytest.fixture(scope="module")
def backend() -> Iterator[Recorder]:
    """Give a hosted API that all tests here share, and that must never be asked."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Give a new home at each call."""
    return lambda: tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def daemon(backend: Recorder, homes: Callable[[], Path]) -> Iterator[Daemon]:
    """Give a signed-in daemon."""
    with Daemon(homes(), env={"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "test-session-token"}) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def signed_out(backend: Recorder, homes: Callable[[], Path]) -> Iterator[Daemon]:
    """Give a daemon without a credential."""
    with Daemon(homes(), env={"BACKEND_URL": backend.url}) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def plain_http(homes: Callable[[], Path]) -> Iterator[Daemon]:
    """Give a signed-in daemon whose base URL no credential may travel to."""
    env = {"BACKEND_URL": "http://192.0.2.1", "OPENHUMAN_TOKEN": "test-session-token"}
    with Daemon(homes(), env=env) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def plain_http_signed_out(homes: Callable[[], Path]) -> Iterator[Daemon]:
    """Give a daemon with such a base URL, and without a credential."""
    with Daemon(homes(), env={"BACKEND_URL": "http://192.0.2.1"}) as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def _nothing_is_sent(backend: Recorder) -> Iterator[None]:
    """Hold every test here to its subject: a refused call reaches nobody."""
    yield
    assert backend.seen == []


def refusal(error: dict[str, Any]) -> dict[str, Any]:
    """Give an error without what the contract leaves open: the hint's words, and the slugs of rules."""
    data = dict(error["data"])
    hint = data.pop("hint", "none")
    assert isinstance(hint, str)
    assert hint
    if "params" in data:
        assert all(isinstance(item["rule"], str) and item["rule"] for item in data["params"])
        data["params"] = [{"path": item["path"], "message": item["message"]} for item in data["params"]]
        assert all(set(item) == {"path", "rule", "message"} for item in error["data"]["params"])
    return {**error, "data": data}


def invalid(message: str, path: str | None = None, *others: tuple[str, str], money: bool = False) -> dict[str, Any]:
    """Make the error of invalid params; `others` are the paths and messages of further params that are off."""
    found = [(path, message), *others] if path is not None else []
    params = {"params": [{"path": path, "message": text} for path, text in found]} if found else {}
    moved = {"moneyMoved": "no"} if money else {}
    return {
        "code": -32602,
        "message": message,
        "data": {"kind": "invalid_params", "retryable": False, **params, **moved},
    }


def wrong_type(daemon: Daemon, method: str, params: dict[str, Any], name: str) -> None:
    """Check that `name` is refused for its type, in words that the contract leaves open, and without its value."""
    error = daemon.error(f"openhuman.{method}", params)
    start = f"invalid params: {name}: "
    assert error["message"].startswith(start)
    assert len(error["message"]) > len(start)
    money = method in ("billing_top_up", "billing_purchase_plan")
    assert refusal(error) == invalid(error["message"], name, money=money)
    assert MARK not in json.dumps(error)


def examples(row: Row) -> dict[str, Any]:
    """Give all params of a method."""
    return (row.full or row.minimal).params


@pytest.mark.parametrize(
    "name",
    ["openhuman.billing_nope", "openhuman.nope_get", "billing_get_balance", "nope", "", "openhuman.", "core.nope",
     "openhuman.billing_Get_Balance", "openhuman.team.get_team", " openhuman.billing_get_balance", "sandbox.fault"],
)  # fmt: skip
def test_an_unknown_method_is_named(daemon: Daemon, name: str) -> None:
    """Step 1: the name is told as it came, whatever the params are."""
    assert refusal(daemon.error(name, [1])) == {
        "code": -32601,
        "message": f"unknown method: {name} (method not found)",
        "data": {"kind": "method_not_found", "retryable": False},
    }


@pytest.mark.parametrize(
    ("params", "what"),
    [([], "array"), ([{"teamId": "t"}], "array"), ("x", "string"), ("", "string"), (5, "number"), (0, "number"),
     (1.5, "number"), (True, "bool"), (False, "bool")],
)  # fmt: skip
def test_params_that_are_no_object_are_refused(daemon: Daemon, params: Any, what: str) -> None:
    """Step 2 comes after this: what is no object holds no required param either."""
    message = f"invalid params: expected object or null, got {what}"
    assert refusal(daemon.error("openhuman.team_get_team", params)) == invalid(message)
    assert refusal(daemon.error("openhuman.billing_top_up", params)) == invalid(message, money=True)


REQUIRED = [(row, name) for row in METHODS for name in row.required.split()]


@pytest.fixture(scope="module")
def help_texts(daemon: Daemon) -> dict[tuple[str, str], str]:
    """Give the help text of each param, as the program publishes it."""
    document = daemon.result("rpc.discover")
    return {(m["name"], param["name"]): param["summary"] for m in document["methods"] for param in m["params"]}


@pytest.mark.parametrize(("row", "missing"), REQUIRED, ids=[f"{row.name}-{name}" for row, name in REQUIRED])
def test_a_missing_param_is_told_with_its_help(
    daemon: Daemon, help_texts: dict[tuple[str, str], str], row: Row, missing: str
) -> None:
    """Step 2: the first missing param in declared order, before any that is unknown or wrong."""
    order = row.required.split()
    later = order[order.index(missing) :]
    params = {name: value for name, value in examples(row).items() if name not in later}
    help_text = help_texts[row.name, missing]
    assert help_text
    message = f"missing required param '{missing}': {help_text}"
    expected = invalid(message, missing, money=row.effect == "money")
    assert refusal(daemon.error(row.name, params)) == expected
    assert refusal(daemon.error(row.name, {**params, "aaa": 1, "timeoutMs": "x"})) == expected


@pytest.mark.parametrize("row", METHODS, ids=lambda row: row.name)
def test_an_unknown_param_is_named(daemon: Daemon, row: Row) -> None:
    """Step 3: the first in alphabetical order, before any wrong type."""
    wrong = {"timeoutMs": "x", **dict.fromkeys(row.required.split(), 5)}
    unknown = {"zzz": 1, "aaa": 2, "mmm": None}
    message = f"unknown param 'aaa' for {row.namespace}.{row.function}"
    assert refusal(daemon.error(row.name, {**examples(row), **wrong, **unknown})) == invalid(
        message, "aaa", money=row.effect == "money"
    )


@pytest.mark.parametrize(
    ("method", "params", "unknown"),
    [
        ("team_get_team", {"teamId": "t", "team_id": "t"}, "team_id"),
        ("team_get_team", {"teamId": "t", "TeamId": "t"}, "TeamId"),
        ("team_remove_member", {"teamId": "t", "userId": "u", "user_id": "u"}, "user_id"),
        ("auth_clear_credential", {"user_id": "u"}, "user_id"),
        ("billing_get_balance", {"idempotencyKey": "k"}, "idempotencyKey"),
        ("auth_get_state", {"idempotencyKey": None}, "idempotencyKey"),
        ("team_get_team", {"teamId": "t", "timeout_ms": 5}, "timeout_ms"),
        ("team_get_team", {"teamId": "t", "": 5}, ""),
    ],
)
def test_names_have_no_second_spelling(daemon: Daemon, method: str, params: dict[str, Any], unknown: str) -> None:
    """Aliases are unknown params, and so is a key on a method that only reads."""
    message = f"unknown param '{unknown}' for {method.replace('_', '.', 1)}"
    assert refusal(daemon.error(f"openhuman.{method}", params)) == invalid(message, unknown)


WRONG: dict[str, list[Any]] = {
    "string": [5, 1.5, True, None, [], {}],
    "integer": [-1, 1.0, 1e300, True, False, "1", MARK, [], {}],
    "number": ["5", MARK, True, False, None, [], {}],
    "boolean": [0, 1, "true", MARK, [], {}],
    "object": [[], MARK, 5, True],
}
TYPES = [
    ("team_create_team", {}, "name", "string"),
    ("team_get_team", {}, "teamId", "string"),
    ("billing_purchase_plan", {}, "plan", "string"),
    ("billing_get_transactions", {}, "limit", "integer"),
    ("billing_get_transactions", {}, "offset", "integer"),
    ("team_create_invite", {"teamId": "t"}, "maxUses", "integer"),
    ("team_create_invite", {"teamId": "t"}, "expiresInDays", "integer"),
    ("budgets_create_seat", {"plan": "p"}, "priority", "integer"),
    ("billing_top_up", {}, "amountUsd", "number"),
    ("billing_get_coinbase_charge", {"gatewayTransactionId": "g"}, "sync", "boolean"),
    ("budgets_update_seat", {"seatId": "s"}, "enabled", "boolean"),
    ("auth_store_session", {"token": "t"}, "user", "object"),
    ("auth_store_session", {}, "token", "string"),
    ("auth_consume_login_token", {}, "loginToken", "string"),
    ("referral_claim", {}, "code", "string"),
]


@pytest.mark.parametrize(("method", "others", "name", "kind"), TYPES, ids=[f"{case[0]}-{case[2]}" for case in TYPES])
def test_a_wrong_type_is_refused(daemon: Daemon, method: str, others: dict[str, Any], name: str, kind: str) -> None:
    """Step 4: types are strict, and null stands for absent in optional params alone."""
    for value in WRONG[kind]:
        wrong_type(daemon, method, {**others, name: value}, name)


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("api_keys_create", {"name": "n", "expiresAt": 5}, "expiresAt"),
        ("api_keys_create", {"name": "n", "scopes": "read"}, "scopes"),
        ("api_keys_create", {"name": "n", "allowedIps": "10.0.0.1"}, "allowedIps"),
        ("budgets_create_seat", {"plan": "p", "agentIds": {}}, "agentIds"),
        ("team_get_usage", {"timeoutMs": 0}, "timeoutMs"),
        ("team_get_usage", {"timeoutMs": 600_001}, "timeoutMs"),
        ("team_get_usage", {"timeoutMs": 1.5}, "timeoutMs"),
        ("team_get_usage", {"timeoutMs": "5"}, "timeoutMs"),
        ("team_get_usage", {"timeoutMs": True}, "timeoutMs"),
        ("team_get_usage", {"progressToken": True}, "progressToken"),
        ("team_get_usage", {"progressToken": 1.5}, "progressToken"),
        ("team_get_usage", {"progressToken": [MARK]}, "progressToken"),
        ("team_create_team", {"name": "n", "idempotencyKey": f"{MARK} b"}, "idempotencyKey"),
        ("team_create_team", {"name": "n", "idempotencyKey": MARK.ljust(256, "k")}, "idempotencyKey"),
        ("team_create_team", {"name": "n", "idempotencyKey": f"{MARK}\nx-evil: 1"}, "idempotencyKey"),
        ("team_create_team", {"name": "n", "idempotencyKey": f"{MARK}\u00e9"}, "idempotencyKey"),
        ("team_create_team", {"name": "n", "idempotencyKey": f"{MARK}\x7f"}, "idempotencyKey"),
        ("team_create_team", {"name": "n", "idempotencyKey": 5}, "idempotencyKey"),
    ],
)
def test_a_param_out_of_its_range_is_refused(daemon: Daemon, method: str, params: dict[str, Any], name: str) -> None:
    """Common params and arrays are as strict as the others."""
    wrong_type(daemon, method, params, name)


@pytest.mark.parametrize("scopes", [["admin"], ["read", "WRITE"], [5], [None]])
def test_an_unknown_scope_is_refused(daemon: Daemon, scopes: list[Any]) -> None:
    """What is wrong inside an array is told under the array's name."""
    error = daemon.error("openhuman.api_keys_create", {"name": "n", "scopes": scopes})
    assert error["code"] == -32602
    assert error["message"].startswith("invalid params: scopes")
    assert [item["path"].partition("[")[0] for item in error["data"]["params"]] == ["scopes"]


@pytest.mark.parametrize("value", [None, [], "x", 5, True], ids=json.dumps)
@pytest.mark.parametrize(
    ("method", "ids"),
    [
        ("billing_update_auto_recharge", {}),
        ("billing_update_card", {"paymentMethodId": " "}),
        ("api_keys_set_spend_caps", {"keyId": "."}),
        ("spend_caps_set", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_payload_is_an_object(daemon: Daemon, method: str, ids: dict[str, str], value: Any) -> None:
    """A payload of another type is refused in words of its own, before an id that is off."""
    message = "payload must be an object"
    others = [
        (name, f"{name} is required" if text == " " else f"{name} is not a valid id") for name, text in ids.items()
    ]
    assert refusal(daemon.error(f"openhuman.{method}", {**ids, "payload": value})) == invalid(
        message, "payload", *others
    )


OWN_CHECKS: list[tuple[str, dict[str, Any], str]] = [
    ("team_create_team", {"name": " \u3000\x85"}, "name is required"),
    ("team_join_team", {"code": ""}, "code is required"),
    ("billing_redeem_coupon", {"code": "\xa0"}, "code is required"),
    ("billing_purchase_plan", {"plan": " "}, "plan is required"),
    ("billing_create_coinbase_charge", {"plan": ""}, "plan is required"),
    ("billing_delete_card", {"paymentMethodId": ""}, "paymentMethodId is required"),
    ("billing_get_coinbase_charge", {"gatewayTransactionId": ""}, "gatewayTransactionId is required"),
    ("team_send_email_invite", {"teamId": "t", "email": " "}, "email is required"),
    ("team_revoke_invite", {"teamId": "t", "inviteId": " "}, "inviteId is required"),
    ("api_keys_create", {"name": " "}, "name is required"),
    ("auth_store_session", {"token": " "}, "token is required"),
    ("auth_set_credential", {"token": ""}, "token is required"),
    ("auth_consume_login_token", {"loginToken": " "}, "loginToken is required"),
    ("auth_set_credential", {"token": "t", "kind": " Key "}, 'unknown credential kind " Key "'),
    ("auth_clear_credential", {"kind": "session,api-key"}, 'unknown credential kind "session,api-key"'),
    ("team_get_team", {"teamId": "."}, "teamId is not a valid id"),
    ("team_get_team", {"teamId": ".."}, "teamId is not a valid id"),
    ("team_get_team", {"teamId": " ..\u3000"}, "teamId is not a valid id"),
    ("api_keys_revoke", {"keyId": ".."}, "keyId is not a valid id"),
    ("billing_top_up", {"amountUsd": 0}, AMOUNT),
    ("billing_top_up", {"amountUsd": -0.0}, AMOUNT),
    ("billing_top_up", {"amountUsd": -1}, AMOUNT),
    ("billing_top_up", {"amountUsd": 10**400}, AMOUNT),
    ("billing_top_up", {"amountUsd": -(10**400)}, AMOUNT),
    ("billing_top_up", {"amountUsd": 5, "gateway": "paypal"}, GATEWAY),
    ("billing_top_up", {"amountUsd": 5, "gateway": "\u017ftripe"}, GATEWAY),
]


@pytest.mark.parametrize(("method", "params", "message"), OWN_CHECKS)
def test_a_methods_own_check_says_what_is_off(
    daemon: Daemon, method: str, params: dict[str, Any], message: str
) -> None:
    """Step 5: emptiness, ranges and ids that lead elsewhere."""
    path = "kind" if message.startswith("unknown") else message.partition(" ")[0]
    money = method in ("billing_top_up", "billing_purchase_plan", "billing_create_coinbase_charge")
    assert refusal(daemon.error(f"openhuman.{method}", params)) == invalid(message, path, money=money)


def test_an_amount_that_overflows_is_refused(daemon: Daemon) -> None:
    """1e999 is JSON, and no amount."""
    daemon.send(
        b'{"jsonrpc":"2.0","id":"big","method":"openhuman.billing_top_up","params":{"amountUsd":1e999,"gateway":"x"}}\n'
    )
    assert refusal(daemon.answer()["error"]) == invalid(AMOUNT, "amountUsd", ("gateway", GATEWAY), money=True)


def test_own_checks_go_in_declared_order(daemon: Daemon) -> None:
    """The team's id, then the user's, then the role, whatever the order on the wire."""
    faults = {"role": " ", "userId": "..", "teamId": ""}
    told = [("teamId", "teamId is required"), ("userId", "userId is not a valid id"), ("role", "role is required")]
    while told:
        (path, message), *others = told
        assert refusal(daemon.error("openhuman.team_change_member_role", faults)) == invalid(message, path, *others)
        faults[path] = "fine"
        told = others


def test_types_come_before_own_checks(daemon: Daemon) -> None:
    """Step 4 before step 5, though the blank param is declared first."""
    error = daemon.error("openhuman.team_change_member_role", {"teamId": " ", "userId": "u", "role": 5})
    assert error["message"].startswith("invalid params: role: ")
    error = daemon.error("openhuman.team_get_team", {"teamId": " ", "timeoutMs": "x"})
    assert error["message"].startswith("invalid params: timeoutMs: ")


def test_own_checks_come_before_the_credential(signed_out: Daemon) -> None:
    """Step 5 before step 7."""
    assert refusal(signed_out.error("openhuman.team_get_team", {"teamId": " "})) == invalid(
        "teamId is required", "teamId"
    )


def test_the_credential_comes_before_the_base_url(plain_http_signed_out: Daemon) -> None:
    """Step 7 before step 8."""
    assert refusal(plain_http_signed_out.error("openhuman.billing_top_up", {"amountUsd": 5})) == {
        "code": -32001,
        "message": NO_CREDENTIAL,
        "data": {"kind": "unauthenticated", "retryable": False, "moneyMoved": "no"},
    }


def test_own_checks_come_before_the_base_url(plain_http: Daemon) -> None:
    """Step 5 before step 8, which is told when all else is right."""
    assert refusal(plain_http.error("openhuman.team_get_team", {"teamId": " "})) == invalid(
        "teamId is required", "teamId"
    )
    assert refusal(plain_http.error("openhuman.billing_top_up", {"amountUsd": 5})) == {
        "code": -32016,
        "message": PLAIN_HTTP,
        "data": {"kind": "configuration", "retryable": False, "moneyMoved": "no"},
    }


@pytest.mark.parametrize("row", [row for row in METHODS if row.credential == "call"], ids=lambda row: row.name)
def test_a_call_without_a_credential_is_refused(signed_out: Daemon, row: Row) -> None:
    """Step 7, for every method that shows a credential."""
    moved = {"moneyMoved": "no"} if row.effect == "money" else {}
    assert refusal(signed_out.error(row.name, examples(row))) == {
        "code": -32001,
        "message": NO_CREDENTIAL,
        "data": {"kind": "unauthenticated", "retryable": False, **moved},
    }


def _marked(text: str) -> str:
    return f"{MARK}{text}"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), float("inf"), float("-inf")]),
    st.floats(allow_nan=False),
    st.sampled_from(["", " ", ".", "..", "stripe", "session", "read"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(_marked),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(data=st.data(), row=st.sampled_from(METHODS))
def test_any_params_are_taken_or_refused(data: st.DataObject, row: Row) -> None:
    """Whatever object comes, it makes a request or is refused as invalid, and a refusal repeats no value."""
    method = registry().find(row.name)
    declared = [*row.required.split(), *row.optional.split(), "timeoutMs", "progressToken", "idempotencyKey"]
    required = {name: VALUES for name in row.required.split() if data.draw(st.integers(0, 9))}
    others: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from([*declared, "other"]), VALUES, max_size=4))
    params = {**examples(row), **others, **data.draw(st.fixed_dictionaries(required))}
    if "kind" in params:
        params["kind"] = "no such kind"  # the contract's own words repeat this one
    template = path = method.route.template if method.route else ""
    told = ""
    try:
        own, _ = check(method.params, method.options, params, row.name)
        path = method.route.request(own.wire()).path if method.route else ""
    except InvalidParams as refused:
        told = json.dumps([refused.message, refused.data()])
    assert MARK not in told
    assert path.isascii()
    assert path.count("/") == template.count("/")
