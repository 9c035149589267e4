"""Payment links: what makes them, and what paying or declining does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from openhuman_core.sandbox.app import create_app
from tests.sandbox.driving import PAY, SHARED, age, ask, balance, charges, client, refused

pytestmark = pytest.mark.anyio

PLAN = "/payments/stripe/currentPlan"


async def settle(asker: httpx.AsyncClient, link_id: str, outcome: str) -> dict[str, Any]:
    """Pay or decline a link without its page."""
    response = await asker.post("/__sandbox/settle", json={"id": link_id, "outcome": outcome})
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_top_up_credits_the_balance_when_it_is_paid(admin: httpx.AsyncClient) -> None:
    """Not before, and with one transaction."""
    top_up = await ask(admin, "POST", PAY, {"amountUsd": 25})
    link_id = top_up["gatewayTransactionId"]
    url = f"http://sandbox.localhost/pay/{link_id}"
    assert top_up == {"url": url, "gatewayTransactionId": link_id, "amountUsd": 25, "gateway": "stripe"}
    assert await balance(admin) == (7.5, 0)
    assert await settle(admin, link_id, "pay") == {"id": link_id, "status": "COMPLETED", "changed": True}
    assert await balance(admin) == (7.5, 25)
    page = await ask(admin, "GET", "/payments/credits/transactions?limit=1&offset=0")
    earned = page["transactions"][0]
    assert (page["total"], earned["type"], earned["action"], earned["amountUsd"]) == (3, "EARN", "TOP_UP", 25)
    assert earned["balanceAfterUsd"] == 32.5


async def test_a_declined_top_up_credits_nothing(admin: httpx.AsyncClient) -> None:
    """Its charge counts as expired."""
    link_id = (await ask(admin, "POST", PAY, {"amountUsd": 0.01, "gateway": "coinbase"}))["gatewayTransactionId"]
    assert await settle(admin, link_id, "decline") == {"id": link_id, "status": "DECLINED", "changed": True}
    assert await balance(admin) == (7.5, 0)
    charge = await ask(admin, "GET", f"/payments/coinbase/charge/{link_id}")
    assert (charge["status"], charge["payment"]["status"]) == ("EXPIRED", "FAILED")


@pytest.mark.parametrize("outcome", ["pay", "decline"])
async def test_settling_twice_changes_nothing_more(admin: httpx.AsyncClient, outcome: str) -> None:
    """The second outcome is not taken."""
    link_id = (await ask(admin, "POST", PAY, {"amountUsd": 25}))["gatewayTransactionId"]
    await settle(admin, link_id, "pay")
    assert await settle(admin, link_id, outcome) == {"id": link_id, "status": "COMPLETED", "changed": False}
    assert await balance(admin) == (7.5, 25)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "amountUsd must be an amount in USD, in whole cents, from 0 to 999999.99"),
        ({"amountUsd": 0}, "amountUsd must be greater than 0"),
        ({"amountUsd": 0.005}, "amountUsd must be an amount in USD, in whole cents, from 0 to 999999.99"),
        ({"amountUsd": 10**400}, "amountUsd must be an amount in USD, in whole cents, from 0 to 999999.99"),
        ({"amountUsd": 5, "gateway": "cash"}, "gateway must be one of: stripe, coinbase"),
    ],
)
async def test_a_bad_top_up_makes_no_link(admin: httpx.AsyncClient, body: object, reason: str) -> None:
    """The ledger stays empty."""
    assert await refused(admin, "POST", PAY, body) == (400, reason)
    assert await charges(admin) == []


async def test_a_plan_is_active_once_it_is_paid(admin: httpx.AsyncClient) -> None:
    """The balance is not touched."""
    purchase = await ask(admin, "POST", "/payments/stripe/purchasePlan", {"plan": "PRO_MONTHLY"})
    assert purchase["checkoutUrl"] == f"http://sandbox.localhost/pay/{purchase['sessionId']}"
    assert (await ask(admin, "GET", PLAN))["plan"] == "FREE"
    await settle(admin, purchase["sessionId"], "pay")
    plan = await ask(admin, "GET", PLAN)
    expiry = plan["planExpiry"]
    assert plan.pop("subscription").pop("id").startswith("sub_")
    assert plan == {
        "plan": "PRO",
        "hasActiveSubscription": True,
        "planExpiry": expiry,
        "monthlyBudgetUsd": 200,
        "weeklyBudgetUsd": 50,
        "fiveHourCapUsd": 10,
    }
    assert (await ask(admin, "GET", f"/teams/{SHARED}"))["subscription"]["planExpiry"] == expiry
    assert (await ask(admin, "GET", "/teams/me/usage"))["cycleBudgetUsd"] == 200
    assert await balance(admin) == (7.5, 0)


async def test_a_plan_that_is_declined_is_not_active(admin: httpx.AsyncClient) -> None:
    """The team stays where it was."""
    purchase = await ask(admin, "POST", f"/teams/{SHARED}/billing/purchase", {"plan": "BASIC_YEARLY"})
    await settle(admin, purchase["sessionId"], "decline")
    assert (await ask(admin, "GET", PLAN))["plan"] == "FREE"


async def test_a_plan_runs_out(tmp_path: Path) -> None:
    """Then the team is on the free one again."""
    admin = client(create_app(tmp_path / "state"))
    purchase = await ask(admin, "POST", "/payments/stripe/purchasePlan", {"plan": "BASIC_MONTHLY"})
    await settle(admin, purchase["sessionId"], "pay")
    assert (await ask(admin, "GET", PLAN))["plan"] == "BASIC"
    age(tmp_path / "state", "team", "subscription.planExpiry")
    assert (await ask(admin, "GET", PLAN))["plan"] == "FREE"


async def test_the_plan_of_a_deleted_team_is_paid_to_nobody(admin: httpx.AsyncClient) -> None:
    """The link is settled all the same."""
    team_id = (await ask(admin, "POST", "/teams", {"name": "Gone"}))["_id"]
    purchase = await ask(admin, "POST", f"/teams/{team_id}/billing/purchase", {"plan": "BASIC_MONTHLY"})
    await ask(admin, "DELETE", f"/teams/{team_id}")
    assert (await settle(admin, purchase["sessionId"], "pay"))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (
            "/payments/stripe/purchasePlan",
            {"plan": "GOLD"},
            (400, "plan must be one of: BASIC_MONTHLY, BASIC_YEARLY, PRO_MONTHLY, PRO_YEARLY"),
        ),
        ("/payments/stripe/purchasePlan", {"plan": "PRO_YEARLY", "couponCode": "NONE"}, (404, "Coupon not found")),
        (
            f"/teams/{SHARED}/billing/purchase",
            {"plan": "PRO_YEARLY", "successUrl": 1},
            (400, "successUrl must be a string that is not empty"),
        ),
        ("/payments/coinbase/charge", {"plan": "PRO_YEARLY"}, (400, "plan must be one of: BASIC, PRO")),
        (
            "/payments/coinbase/charge",
            {"plan": "PRO", "interval": "weekly"},
            (400, "interval must be one of: monthly, annual"),
        ),
        ("/payments/coinbase/charge", {"plan": "PRO", "metadata": []}, (400, "metadata must be an object")),
    ],
)
async def test_a_bad_purchase_makes_no_link(
    admin: httpx.AsyncClient, path: str, body: object, answer: tuple[int, str]
) -> None:
    """The hosted API decides which plans there are."""
    assert await refused(admin, "POST", path, body) == answer
    assert await charges(admin) == []


async def test_a_purchase_takes_a_coupon_that_is_open(admin: httpx.AsyncClient) -> None:
    """One that is redeemed is refused."""
    body = {"plan": "PRO_YEARLY", "couponCode": "SANDBOX10"}
    await ask(admin, "POST", "/payments/stripe/purchasePlan", body)
    await ask(admin, "POST", "/coupons/redeem", {"code": "SANDBOX10"})
    answer = await refused(admin, "POST", "/payments/stripe/purchasePlan", body)
    assert answer == (400, "Coupon already redeemed")


@pytest.mark.parametrize(("interval", "price"), [({}, 2000), ({"interval": "monthly"}, 200)])
async def test_a_coinbase_charge_is_followed_to_its_end(
    admin: httpx.AsyncClient, interval: dict[str, str], price: int
) -> None:
    """It completes when paid, and activates the plan."""
    body = {"plan": "PRO", "metadata": {"from": "test"}, **interval}
    charge = await ask(admin, "POST", "/payments/coinbase/charge", body)
    link_id = charge["gatewayTransactionId"]
    expires = charge["expiresAt"]
    url = f"http://sandbox.localhost/pay/{link_id}"
    assert charge == {"gatewayTransactionId": link_id, "hostedUrl": url, "status": "NEW", "expiresAt": expires}
    payment = {"amountExpected": price, "currency": "USD", "underpaidAmount": 0, "overpaidAmount": 0}
    path = f"/payments/coinbase/charge/{link_id}?sync=true"
    pending = {"status": "PENDING", "amountPaid": 0, **payment}
    assert await ask(admin, "GET", path) == {"status": "NEW", "payment": pending, "expiresAt": expires}
    await settle(admin, link_id, "pay")
    confirmed = {"status": "CONFIRMED", "amountPaid": price, **payment}
    assert await ask(admin, "GET", path) == {"status": "COMPLETED", "payment": confirmed, "expiresAt": expires}
    assert (await ask(admin, "GET", PLAN))["plan"] == "PRO"


async def test_an_unknown_charge_is_not_found(admin: httpx.AsyncClient) -> None:
    """So is one that nobody can settle."""
    assert await refused(admin, "GET", "/payments/coinbase/charge/ch_0") == (404, "Charge not found")
    answer = await refused(admin, "POST", "/__sandbox/settle", {"id": "ch_0", "outcome": "pay"})
    assert answer == (404, "Charge not found")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"outcome": "pay"}, "id must be a string that is not empty"),
        ({"id": "ch_0"}, "outcome must be one of: pay, decline"),
        ({"id": "ch_0", "outcome": ["pay"]}, "outcome must be one of: pay, decline"),
    ],
)
async def test_a_bad_settlement_is_refused(admin: httpx.AsyncClient, body: object, reason: str) -> None:
    """It says which links and outcomes there are."""
    assert await refused(admin, "POST", "/__sandbox/settle", body) == (400, reason)


async def test_a_link_expires(tmp_path: Path) -> None:
    """Then it can no longer be paid."""
    admin = client(create_app(tmp_path / "state"))
    link_id = (await ask(admin, "POST", PAY, {"amountUsd": 25}))["gatewayTransactionId"]
    age(tmp_path / "state", "charge", "expiresAt")
    assert (await ask(admin, "GET", f"/payments/coinbase/charge/{link_id}"))["status"] == "EXPIRED"
    assert await settle(admin, link_id, "pay") == {"id": link_id, "status": "EXPIRED", "changed": False}
    assert await balance(admin) == (7.5, 0)


async def test_the_page_of_a_link_has_a_form_for_each_outcome(app: Starlette, admin: httpx.AsyncClient) -> None:
    """It needs no credential and no script."""
    url = (await ask(admin, "POST", PAY, {"amountUsd": 25}))["url"]
    payer = client(app, None)
    page = await payer.get(url)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Credits for sandbox-admin: 25.00 USD" in page.text
    assert re.findall(r'<form method="post"><button name="outcome" value="(\w+)">', page.text) == ["pay", "decline"]
    assert "<script" not in page.text
    paid = await payer.post(url, data={"outcome": "pay"})
    assert "This payment is completed.<" in paid.text
    again = await payer.post(url, data={"outcome": "decline"})
    assert "This payment is completed. It was settled before: nothing has changed." in again.text
    assert "<form" not in (await payer.get(url)).text
    assert await balance(admin) == (7.5, 25)


async def test_the_page_of_an_unknown_link_says_so(app: Starlette) -> None:
    """With the status that goes with it."""
    page = await client(app, None).get("/pay/ch_0")
    assert (page.status_code, "<p>Charge not found</p>" in page.text) == (404, True)


async def test_the_page_refuses_another_outcome(app: Starlette, admin: httpx.AsyncClient) -> None:
    """The link stays open."""
    url = (await ask(admin, "POST", PAY, {"amountUsd": 25}))["url"]
    page = await client(app, None).post(url, data={"outcome": "<b>"})
    assert (page.status_code, "<p>outcome must be one of: pay, decline</p>" in page.text) == (400, True)
    assert [charge["status"] for charge in await charges(admin)] == ["NEW"]


async def test_the_ledger_holds_every_link_ever_made(admin: httpx.AsyncClient, billing: httpx.AsyncClient) -> None:
    """With who asked, and under which key."""
    key = {"idempotency-key": "one"}
    top_up = (await admin.post(PAY, json={"amountUsd": 12.34}, headers=key)).json()["data"]
    plan = await ask(billing, "POST", "/payments/stripe/purchasePlan", {"plan": "BASIC_MONTHLY"})
    await settle(admin, plan["sessionId"], "decline")
    charge = await ask(admin, "POST", "/payments/coinbase/charge", {"plan": "BASIC"})
    assert [tuple(link.values()) for link in await charges(admin)] == [
        (top_up["gatewayTransactionId"], "top-up", 12.34, "sandbox-admin", "one", "NEW"),
        (plan["sessionId"], "plan", 20, "sandbox-billing", None, "DECLINED"),
        (charge["gatewayTransactionId"], "coinbase-charge", 200, "sandbox-admin", None, "NEW"),
    ]
    assert set((await charges(admin))[0]) == {"id", "kind", "amountUsd", "user", "idempotencyKey", "status"}
