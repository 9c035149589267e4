"""The contract's routes are all served, and no others."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from openhuman_core.sandbox.routes import ROUTES
from tests.sandbox.driving import client, refused

pytestmark = pytest.mark.anyio

CONTRACT = """
GET /auth/me
POST /auth/login-token/consume
GET /payments/stripe/currentPlan
GET /payments/summary
GET /payments/stripe/plans
GET /payments/credits/balance
GET /payments/credits/transactions
GET /payments/credits/auto-recharge
PATCH /payments/credits/auto-recharge
GET /payments/credits/auto-recharge/cards
POST /payments/credits/auto-recharge/cards/setup-intent
PATCH /payments/credits/auto-recharge/cards/{paymentMethodId}
DELETE /payments/credits/auto-recharge/cards/{paymentMethodId}
POST /payments/stripe/purchasePlan
POST /payments/stripe/portal
POST /payments/credits/top-up
POST /payments/coinbase/charge
GET /payments/coinbase/charge/{gatewayTransactionId}
POST /coupons/redeem
GET /coupons/me
GET /teams/me/usage
GET /teams
GET /teams/{teamId}
POST /teams
PUT /teams/{teamId}
DELETE /teams/{teamId}
POST /teams/{teamId}/switch
POST /teams/{teamId}/leave
POST /teams/join
GET /teams/{teamId}/members
DELETE /teams/{teamId}/members/{userId}
PUT /teams/{teamId}/members/{userId}/role
POST /teams/{teamId}/invites
POST /teams/{teamId}/invites/email
GET /teams/{teamId}/invites
DELETE /teams/{teamId}/invites/{inviteId}
GET /teams/{teamId}/billing/plan
POST /teams/{teamId}/billing/purchase
POST /teams/{teamId}/billing/portal
GET /api-keys
POST /api-keys
DELETE /api-keys/{keyId}
PUT /api-keys/{keyId}/spend-caps
GET /budgets
POST /budgets/seats
PATCH /budgets/seats/{seatId}
DELETE /budgets/seats/{seatId}
GET /spend-caps
PUT /spend-caps
GET /referral/stats
POST /referral/claim
""".strip().splitlines()


def test_the_routes_are_those_of_the_contract() -> None:
    """The table has no more and no fewer."""
    assert sorted(ROUTES) == sorted(CONTRACT)


@pytest.mark.parametrize("route", [route for route in CONTRACT if route != "POST /auth/login-token/consume"])
async def test_every_route_needs_a_credential(app: Starlette, route: str) -> None:
    """Without one each says the same, which also shows that each is there."""
    verb, path = route.split()
    assert await refused(client(app, None), verb, path) == (401, "Authentication required")


@pytest.mark.parametrize(
    ("verb", "path"), [("GET", "/nothing"), ("PATCH", "/teams"), ("GET", "/teams/"), ("GET", "/a%0Ab")]
)
async def test_an_unmatched_route_answers_as_express_does(admin: httpx.AsyncClient, verb: str, path: str) -> None:
    """HTML with the path as it came."""
    response = await admin.request(verb, path)
    assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert f"<pre>Cannot {verb} {path}</pre>" in response.text
    assert response.headers["x-request-id"].startswith("req_")


async def test_an_encoded_separator_does_not_end_a_segment(admin: httpx.AsyncClient) -> None:
    """An id with reserved characters is one unknown team."""
    assert await refused(admin, "GET", "/teams/team%2Fwith%3Freserved") == (404, "Team not found")


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"name":NaN}', b'{"name":"\\ud800"}', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_refused(admin: httpx.AsyncClient, body: bytes) -> None:
    """So is text that could not be kept."""
    response = await admin.post("/teams", content=body)
    assert (response.status_code, response.json()) == (
        400,
        {"success": False, "error": "Invalid JSON body", "errorCode": "INVALID_JSON"},
    )


async def test_a_body_that_is_no_object_is_refused(admin: httpx.AsyncClient) -> None:
    """The reason says what it should be."""
    assert await refused(admin, "POST", "/teams", ["name"]) == (400, "body must be an object")


async def test_a_member_of_a_wrong_type_is_refused_with_details(admin: httpx.AsyncClient) -> None:
    """The details name the member and the rule, not the value."""
    response = await admin.post("/teams", json={"name": 7})
    assert (response.status_code, response.json()) == (
        400,
        {
            "success": False,
            "error": "name must be a string that is not empty",
            "errorCode": "VALIDATION_ERROR",
            "details": [{"path": "name", "message": "must be a string that is not empty"}],
        },
    )
