"""The wire contract's tables of methods (sections 2 to 5) as data, typed by hand and never derived from the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Example:
    """Params, and the raw target and body that they make; a target of None means that nothing is sent."""

    params: dict[str, Any]
    target: str | None = None
    body: bytes | None = None


@dataclass(frozen=True)
class Row:
    """One method; `required` and `optional` are words in the declared order, `marks` any of destructive and secret.

    `log` is the outcome's last log line, or None where the contract leaves its sentence open. `route` is None for a
    method that asks the hosted API nothing. `credential` says what the request shows: the one in force ("call"), none
    at all (""), or the token among the params ("params").
    """

    namespace: str
    function: str
    required: str
    optional: str
    route: str | None
    log: str | None
    effect: str
    minimal: Example
    full: Example | None = None
    marks: str = ""
    credential: str = "call"

    @property
    def name(self) -> str:
        """The name on the wire."""
        return f"openhuman.{self.namespace}_{self.function}"

    @property
    def examples(self) -> list[Example]:
        """The minimal example, and the full one where there are optional params."""
        return [self.minimal] if self.full is None else [self.minimal, self.full]


CREDITS = "/payments/credits"
CARD = f"{CREDITS}/auto-recharge/cards"

# A table reads in rows.
# fmt: off
BILLING = (
    Row("billing", "get_current_plan", "", "", "GET /payments/stripe/currentPlan", "current plan fetched from backend",
        "read", Example({}, "/payments/stripe/currentPlan")),
    Row("billing", "get_summary", "", "", "GET /payments/summary", "billing summary fetched", "read", Example({},
        "/payments/summary")),
    Row("billing", "list_plans", "", "", "GET /payments/stripe/plans", "plans fetched from backend", "read", Example({},
        "/payments/stripe/plans")),
    Row("billing", "get_balance", "", "", "GET /payments/credits/balance", "credit balance fetched", "read", Example({},
        "/payments/credits/balance")),
    Row("billing", "get_transactions", "", "limit offset", "GET /payments/credits/transactions",
        "credit transactions fetched", "read", Example({}, "/payments/credits/transactions?limit=20&offset=0"),
        Example({"offset": 7, "limit": 0}, "/payments/credits/transactions?limit=0&offset=7")),
    Row("billing", "get_auto_recharge", "", "", "GET /payments/credits/auto-recharge", "auto recharge settings fetched",
        "read", Example({}, f"{CREDITS}/auto-recharge")),
    Row("billing", "update_auto_recharge", "payload", "", "PATCH /payments/credits/auto-recharge",
        "auto recharge settings updated", "write", Example({"payload": {"weeklyLimitUsd": 50, "enabled": True}},
        f"{CREDITS}/auto-recharge", b'{"weeklyLimitUsd":50,"enabled":true}')),
    Row("billing", "get_cards", "", "", "GET /payments/credits/auto-recharge/cards", "saved cards fetched", "read",
        Example({}, CARD)),
    Row("billing", "create_setup_intent", "", "", "POST /payments/credits/auto-recharge/cards/setup-intent",
        "setup intent created", "create", Example({}, f"{CARD}/setup-intent"), marks="secret"),
    Row("billing", "update_card", "paymentMethodId payload", "",
        "PATCH /payments/credits/auto-recharge/cards/{paymentMethodId}", "saved card updated", "write",
        Example({"payload": {"isDefault": True}, "paymentMethodId": "pm_1"}, f"{CARD}/pm_1", b'{"isDefault":true}')),
    Row("billing", "delete_card", "paymentMethodId", "",
        "DELETE /payments/credits/auto-recharge/cards/{paymentMethodId}", "saved card deleted", "write",
        Example({"paymentMethodId": "pm_1"}, f"{CARD}/pm_1"), marks="destructive"),
    Row("billing", "purchase_plan", "plan", "couponCode", "POST /payments/stripe/purchasePlan",
        "plan purchase session created", "money", Example({"plan": "PRO_YEARLY"}, "/payments/stripe/purchasePlan",
        b'{"plan":"PRO_YEARLY"}'), Example({"couponCode": "TEN", "plan": "PRO_YEARLY"}, "/payments/stripe/purchasePlan",
        b'{"plan":"PRO_YEARLY","couponCode":"TEN"}')),
    Row("billing", "create_portal_session", "", "", "POST /payments/stripe/portal", "customer portal session created",
        "create", Example({}, "/payments/stripe/portal")),
    Row("billing", "top_up", "amountUsd", "gateway", "POST /payments/credits/top-up", "credit top-up initiated",
        "money", Example({"amountUsd": 25}, f"{CREDITS}/top-up", b'{"amountUsd":25,"gateway":"stripe"}'),
        Example({"gateway": "coinbase", "amountUsd": 0.5}, f"{CREDITS}/top-up",
        b'{"amountUsd":0.5,"gateway":"coinbase"}')),
    Row("billing", "create_coinbase_charge", "plan", "interval metadata", "POST /payments/coinbase/charge",
        "Coinbase payment link created", "money", Example({"plan": "PRO"}, "/payments/coinbase/charge",
        b'{"plan":"PRO","interval":"annual"}'), Example({"metadata": {"b": None, "a": [1]}, "interval": "monthly",
        "plan": "PRO"}, "/payments/coinbase/charge",
        b'{"plan":"PRO","interval":"monthly","metadata":{"b":null,"a":[1]}}')),
    Row("billing", "get_coinbase_charge", "gatewayTransactionId", "sync",
        "GET /payments/coinbase/charge/{gatewayTransactionId}", "Coinbase charge fetched", "read",
        Example({"gatewayTransactionId": "gt_1"}, "/payments/coinbase/charge/gt_1"),
        Example({"gatewayTransactionId": "gt_1", "sync": True}, "/payments/coinbase/charge/gt_1?sync=true")),
    Row("billing", "redeem_coupon", "code", "", "POST /coupons/redeem", "coupon redeemed", "create",
        Example({"code": "TEN"}, "/coupons/redeem", b'{"code":"TEN"}')),
    Row("billing", "get_coupons", "", "", "GET /coupons/me", "user coupons fetched", "read", Example({},
        "/coupons/me")),
    Row("billing", "list_payment_links", "", "limit offset", None, "payment links listed", "read", Example({}),
        Example({"offset": 1, "limit": 2})),
    Row("billing", "wait_for_payment", "gatewayTransactionId", "timeoutSeconds",
        "GET /payments/coinbase/charge/{gatewayTransactionId}", "payment followed", "read",
        Example({"gatewayTransactionId": "g/1", "timeoutSeconds": 0}, "/payments/coinbase/charge/g%2F1")),
)

TEAM = (
    Row("team", "get_usage", "", "", "GET /teams/me/usage", "team usage fetched from backend", "read", Example({},
        "/teams/me/usage")),
    Row("team", "list_teams", "", "", "GET /teams", "teams fetched from backend", "read", Example({}, "/teams")),
    Row("team", "get_team", "teamId", "", "GET /teams/{teamId}", "team fetched from backend", "read",
        Example({"teamId": "t1"}, "/teams/t1")),
    Row("team", "create_team", "name", "", "POST /teams", "team created via backend", "create",
        Example({"name": "Ü & co"}, "/teams", '{"name":"Ü & co"}'.encode())),
    Row("team", "update_team", "teamId", "name", "PUT /teams/{teamId}", "team updated via backend", "write",
        Example({"teamId": "t1"}, "/teams/t1", b"{}"), Example({"name": "New", "teamId": "t1"}, "/teams/t1",
        b'{"name":"New"}')),
    Row("team", "delete_team", "teamId", "", "DELETE /teams/{teamId}", "team deleted via backend", "write",
        Example({"teamId": "t1"}, "/teams/t1"), marks="destructive"),
    Row("team", "switch_team", "teamId", "", "POST /teams/{teamId}/switch", "active team switched via backend", "write",
        Example({"teamId": "t1"}, "/teams/t1/switch", b"{}")),
    Row("team", "leave_team", "teamId", "", "POST /teams/{teamId}/leave", "team left via backend", "create",
        Example({"teamId": "t1"}, "/teams/t1/leave", b"{}"), marks="destructive"),
    Row("team", "join_team", "code", "", "POST /teams/join", "team joined via backend", "create",
        Example({"code": "T-0123456789ab"}, "/teams/join", b'{"code":"T-0123456789ab"}')),
    Row("team", "list_members", "teamId", "", "GET /teams/{teamId}/members", "team members fetched from backend",
        "read", Example({"teamId": "t1"}, "/teams/t1/members")),
    Row("team", "remove_member", "teamId userId", "", "DELETE /teams/{teamId}/members/{userId}",
        "team member removed via backend", "write", Example({"userId": "u1", "teamId": "t1"}, "/teams/t1/members/u1"),
        marks="destructive"),
    Row("team", "change_member_role", "teamId userId role", "", "PUT /teams/{teamId}/members/{userId}/role",
        "team member role updated via backend", "write", Example({"role": "anyRole", "userId": "u1", "teamId": "t1"},
        "/teams/t1/members/u1/role", b'{"role":"anyRole"}'), marks="destructive"),
    Row("team", "create_invite", "teamId", "maxUses expiresInDays", "POST /teams/{teamId}/invites",
        "team invite created via backend", "create", Example({"teamId": "t1"}, "/teams/t1/invites", b"{}"),
        Example({"expiresInDays": 0, "maxUses": 5, "teamId": "t1"}, "/teams/t1/invites",
        b'{"maxUses":5,"expiresInDays":0}')),
    Row("team", "send_email_invite", "teamId email", "", "POST /teams/{teamId}/invites/email",
        "team invite sent via backend", "create", Example({"email": "a@example.com", "teamId": "t1"},
        "/teams/t1/invites/email", b'{"email":"a@example.com"}')),
    Row("team", "list_invites", "teamId", "", "GET /teams/{teamId}/invites", "team invites listed from backend", "read",
        Example({"teamId": "t1"}, "/teams/t1/invites")),
    Row("team", "revoke_invite", "teamId inviteId", "", "DELETE /teams/{teamId}/invites/{inviteId}",
        "team invite revoked via backend", "write", Example({"inviteId": "i1", "teamId": "t1"}, "/teams/t1/invites/i1"),
        ),
    Row("team", "get_billing_plan", "teamId", "", "GET /teams/{teamId}/billing/plan",
        "team billing plan fetched from backend", "read", Example({"teamId": "t1"}, "/teams/t1/billing/plan")),
    Row("team", "purchase_plan", "teamId plan", "successUrl cancelUrl", "POST /teams/{teamId}/billing/purchase",
        "team plan purchase session created", "money", Example({"teamId": "t1", "plan": "BASIC_MONTHLY"},
        "/teams/t1/billing/purchase", b'{"plan":"BASIC_MONTHLY"}'), Example({"cancelUrl": "https://c.example",
        "successUrl": "https://s.example", "teamId": "t1", "plan": "PRO"}, "/teams/t1/billing/purchase",
        b'{"plan":"PRO","successUrl":"https://s.example","cancelUrl":"https://c.example"}')),
    Row("team", "create_billing_portal", "teamId", "returnUrl", "POST /teams/{teamId}/billing/portal",
        "team billing portal session created", "create", Example({"teamId": "t1"}, "/teams/t1/billing/portal", b"{}"),
        Example({"teamId": "t1", "returnUrl": "https://r.example"}, "/teams/t1/billing/portal",
        b'{"returnUrl":"https://r.example"}')),
)

ACCOUNT = (
    Row("api_keys", "list", "", "", "GET /api-keys", None, "read", Example({}, "/api-keys")),
    Row("api_keys", "create", "name", "scopes allowedIps expiresAt", "POST /api-keys", None, "create",
        Example({"name": "ci"}, "/api-keys", b'{"name":"ci"}'), Example({"expiresAt": "2030-01-01T00:00:00Z",
        "allowedIps": ["10.0.0.1"], "name": "ci", "scopes": ["read", "write", "inference"]}, "/api-keys",
        b'{"name":"ci","scopes":["read","write","inference"],"allowedIps":["10.0.0.1"],'
        b'"expiresAt":"2030-01-01T00:00:00Z"}'), marks="secret"),
    Row("api_keys", "revoke", "keyId", "", "DELETE /api-keys/{keyId}", None, "write", Example({"keyId": "k1"},
        "/api-keys/k1"), marks="destructive"),
    Row("api_keys", "set_spend_caps", "keyId payload", "", "PUT /api-keys/{keyId}/spend-caps", None, "write",
        Example({"payload": {}, "keyId": "k1"}, "/api-keys/k1/spend-caps", b"{}")),
    Row("budgets", "get", "", "", "GET /budgets", None, "read", Example({}, "/budgets")),
    Row("budgets", "create_seat", "plan", "priority agentIds enabled", "POST /budgets/seats", None, "create",
        Example({"plan": "PRO"}, "/budgets/seats", b'{"plan":"PRO"}'), Example({"enabled": False, "agentIds": [],
        "priority": 0, "plan": "PRO"}, "/budgets/seats", b'{"plan":"PRO","priority":0,"agentIds":[],"enabled":false}')),
    Row("budgets", "update_seat", "seatId", "priority agentIds enabled", "PATCH /budgets/seats/{seatId}", None, "write",
        Example({"seatId": "s1"}, "/budgets/seats/s1", b"{}"), Example({"enabled": True, "agentIds": ["a1"],
        "priority": 2, "seatId": "s1"}, "/budgets/seats/s1", b'{"priority":2,"agentIds":["a1"],"enabled":true}')),
    Row("budgets", "delete_seat", "seatId", "", "DELETE /budgets/seats/{seatId}", None, "write",
        Example({"seatId": "s1"}, "/budgets/seats/s1"), marks="destructive"),
    Row("spend_caps", "get", "", "", "GET /spend-caps", None, "read", Example({}, "/spend-caps")),
    Row("spend_caps", "set", "payload", "", "PUT /spend-caps", None, "write", Example({"payload": {"z": 1, "a": None}},
        "/spend-caps", b'{"z":1,"a":null}')),
    Row("referral", "get_stats", "", "", "GET /referral/stats",
        "referral stats fetched from backend GET /referral/stats", "read", Example({}, "/referral/stats")),
    Row("referral", "claim", "code", "deviceFingerprint", "POST /referral/claim",
        "referral claim accepted by backend POST /referral/claim", "create", Example({"code": "FRIEND"},
        "/referral/claim", b'{"code":"FRIEND"}'), Example({"deviceFingerprint": "fp", "code": "FRIEND"},
        "/referral/claim", b'{"code":"FRIEND","deviceFingerprint":"fp"}')),
)

AUTH = (
    Row("auth", "store_session", "token", "userId user_id user", "GET /auth/me", "session stored", "write",
        Example({"token": "given-token"}, "/auth/me"), Example({"user": {"name": "Ann"}, "user_id": "u1",
        "userId": "u1", "token": "given-token"}, "/auth/me"), credential="params"),
    Row("auth", "set_credential", "token", "kind userId user_id user", None, None, "write",
        Example({"token": "given-token"}), Example({"user": {"name": "Ann"}, "userId": "u1", "user_id": "u1",
        "kind": "api-key", "token": "given-key"}), credential=""),
    Row("auth", "clear_session", "", "", None, "session cleared", "write", Example({}), credential=""),
    Row("auth", "clear_credential", "", "kind", None, None, "write", Example({}), Example({"kind": "api-key"}),
        credential=""),
    Row("auth", "get_state", "", "", None, "session state fetched", "read", Example({}), credential=""),
    Row("auth", "get_session_token", "", "", None, "session token fetched", "read", Example({}), marks="secret",
        credential=""),
    Row("auth", "get_me", "", "", "GET /auth/me", "current user fetched", "read", Example({}, "/auth/me")),
    Row("auth", "consume_login_token", "loginToken", "", "POST /auth/login-token/consume", "login token consumed",
        "create", Example({"loginToken": "once"}, "/auth/login-token/consume", b'{"token":"once"}'), marks="secret",
        credential=""),
)

JOURNAL = (
    Row("journal", "list", "", "limit offset state", None, None, "read", Example({}),
        Example({"state": "unknown", "offset": 1, "limit": 2})),
    Row("journal", "resolve", "idempotencyKey outcome", "", None, None, "write",
        Example({"idempotencyKey": "k", "outcome": "done"})),
)
# fmt: on

METHODS: tuple[Row, ...] = BILLING + TEAM + ACCOUNT + AUTH
# The methods of the journal are about what others did, so no example of them stands alone.
ALL_METHODS = METHODS + JOURNAL
BY_NAME = {row.name: row for row in ALL_METHODS}
