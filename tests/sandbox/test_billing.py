"""Plans, credits, coupons, cards and automatic recharge."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.sandbox.driving import CARDS, SHARED, ask, balance, refused

pytestmark = pytest.mark.anyio

RECHARGE = "/payments/credits/auto-recharge"
FREE = {
    "plan": "FREE",
    "hasActiveSubscription": False,
    "planExpiry": None,
    "subscription": None,
    "monthlyBudgetUsd": 5,
    "weeklyBudgetUsd": 2,
    "fiveHourCapUsd": 1,
}


async def test_a_new_team_is_on_the_free_plan(admin: httpx.AsyncClient) -> None:
    """Both ways to ask say so."""
    assert await ask(admin, "GET", "/payments/stripe/currentPlan") == FREE
    assert await ask(admin, "GET", f"/teams/{SHARED}/billing/plan") == FREE


async def test_the_summary_holds_plan_balance_and_recharge(admin: httpx.AsyncClient) -> None:
    """It is made of the same parts."""
    assert await ask(admin, "GET", "/payments/summary") == {
        "plan": FREE,
        "balance": await ask(admin, "GET", "/payments/credits/balance"),
        "autoRecharge": await ask(admin, "GET", RECHARGE),
    }


async def test_plans_are_listed_by_the_names_that_are_bought(admin: httpx.AsyncClient) -> None:
    """With price and budgets."""
    plans = await ask(admin, "GET", "/payments/stripe/plans")
    assert [plan["id"] for plan in plans] == ["BASIC_MONTHLY", "BASIC_YEARLY", "PRO_MONTHLY", "PRO_YEARLY"]
    assert plans[0] == {
        "id": "BASIC_MONTHLY",
        "plan": "BASIC",
        "priceUsd": 20,
        "days": 30,
        "monthlyBudgetUsd": 20,
        "weeklyBudgetUsd": 5,
        "fiveHourCapUsd": 1,
    }


async def test_transactions_are_paged_newest_first(admin: httpx.AsyncClient) -> None:
    """The seeded ones end in the seeded balance."""
    path = "/payments/credits/transactions"
    whole = await ask(admin, "GET", f"{path}?limit=20&offset=0")
    assert [
        (one["type"], one["action"], one["amountUsd"], one["balanceAfterUsd"]) for one in whole["transactions"]
    ] == [("SPEND", "INFERENCE", 2.5, 7.5), ("EARN", "SIGNUP_BONUS", 10, 10)]
    assert set(whole["transactions"][0]) == {"id", "type", "action", "amountUsd", "balanceAfterUsd", "createdAt"}
    assert await ask(admin, "GET", f"{path}?limit=1&offset=1") == {
        "transactions": whole["transactions"][1:],
        "total": 2,
    }
    assert await ask(admin, "GET", f"{path}?limit=0") == {"transactions": [], "total": 2}
    assert await balance(admin) == (7.5, 0)


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "offset=1.5", "limit=", "offset=9999999999"])
async def test_a_bad_page_is_refused(admin: httpx.AsyncClient, query: str) -> None:
    """Limits and offsets are whole numbers."""
    name = query.partition("=")[0]
    answer = await refused(admin, "GET", f"/payments/credits/transactions?{query}")
    assert answer == (400, f"{name} must be a whole number")


async def test_a_coupon_is_redeemed_once(admin: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    """It adds to the promotion balance, and is listed for who redeemed it."""
    assert await ask(admin, "GET", "/coupons/me") == []
    redeemed = await ask(admin, "POST", "/coupons/redeem", {"code": "SANDBOX5"})
    assert redeemed == {"couponCode": "SANDBOX5", "amountUsd": 5, "pending": False}
    assert await balance(admin) == (12.5, 0)
    for user in (admin, member):
        answer = await refused(user, "POST", "/coupons/redeem", {"code": "SANDBOX5"})
        assert answer == (400, "Coupon already redeemed")
    (coupon,) = await ask(admin, "GET", "/coupons/me")
    assert coupon.pop("redeemedAt") <= coupon.pop("fulfilledAt")
    assert coupon == {
        "code": "SANDBOX5",
        "amountUsd": 5,
        "activationType": "IMMEDIATE",
        "fulfilled": True,
        "activationCondition": None,
    }
    assert await ask(member, "GET", "/coupons/me") == []


async def test_an_unknown_coupon_is_not_found(admin: httpx.AsyncClient) -> None:
    """Nothing is added."""
    assert await refused(admin, "POST", "/coupons/redeem", {"code": "NONE"}) == (404, "Coupon not found")
    assert await balance(admin) == (7.5, 0)


async def test_recharge_settings_are_merged(admin: httpx.AsyncClient) -> None:
    """What is not given stays, and what is no setting is left out."""
    before = await ask(admin, "GET", RECHARGE)
    assert before.pop("weekStartDate").endswith("T00:00:00.000Z")
    assert before == {
        "enabled": False,
        "thresholdUsd": 5,
        "rechargeAmountUsd": 20,
        "weeklyLimitUsd": 100,
        "spentThisWeekUsd": 0,
        "inFlight": False,
        "hasSavedPaymentMethod": True,
        "lastTriggeredAt": None,
        "lastRechargeAt": None,
        "lastPaymentIntentId": None,
        "lastError": None,
    }
    changes: dict[str, Any] = {
        "enabled": True,
        "weeklyLimitUsd": 50.25,
        "thresholdUsd": None,
        "inFlight": True,
        "new": 1,
    }
    after = await ask(admin, "PATCH", RECHARGE, changes)
    after.pop("weekStartDate")
    assert after == before | {"enabled": True, "weeklyLimitUsd": 50.25}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"enabled": "yes"}, "enabled must be a boolean"),
        ({"thresholdUsd": "5"}, "thresholdUsd must be an amount in USD, in whole cents, from 0 to 999999.99"),
        ({"weeklyLimitUsd": -1}, "weeklyLimitUsd must be an amount in USD, in whole cents, from 0 to 999999.99"),
        ({"weeklyLimitUsd": True}, "weeklyLimitUsd must be an amount in USD, in whole cents, from 0 to 999999.99"),
    ],
)
async def test_a_bad_recharge_setting_changes_nothing(admin: httpx.AsyncClient, body: object, reason: str) -> None:
    """Not even the members beside it."""
    before = await ask(admin, "GET", RECHARGE)
    assert await refused(admin, "PATCH", RECHARGE, body) == (400, reason)
    assert await ask(admin, "GET", RECHARGE) == before


async def test_two_cards_are_saved(admin: httpx.AsyncClient) -> None:
    """One of them is the default."""
    cards = await ask(admin, "GET", CARDS)
    assert cards["customerId"] == f"cus_{SHARED}"
    assert cards["defaultPaymentMethodId"] == "pm_visa"
    assert cards["cards"][0] == {
        "id": "pm_visa",
        "brand": "visa",
        "last4": "4242",
        "expMonth": 12,
        "expYear": 2034,
        "isDefault": True,
        "billingDetails": {"name": "Ada Sandbox"},
    }
    assert [card["id"] for card in cards["cards"]] == ["pm_visa", "pm_mastercard"]


async def test_a_card_is_changed_where_asked(admin: httpx.AsyncClient) -> None:
    """Billing details are merged; members that a card does not have are left out."""
    body = {"expMonth": 1, "billingDetails": {"email": "ada@example.com"}, "last4": "0000"}
    card = await ask(admin, "PATCH", f"{CARDS}/pm_visa", body)
    assert (card["expMonth"], card["expYear"], card["last4"], card["isDefault"]) == (1, 2034, "4242", True)
    assert card["billingDetails"] == {"name": "Ada Sandbox", "email": "ada@example.com"}


async def test_only_one_card_is_the_default(admin: httpx.AsyncClient) -> None:
    """Making one the default takes it from the other."""
    assert (await ask(admin, "PATCH", f"{CARDS}/pm_mastercard", {"isDefault": True}))["isDefault"] is True
    cards = await ask(admin, "GET", CARDS)
    assert [card["isDefault"] for card in cards["cards"]] == [False, True]
    assert cards["defaultPaymentMethodId"] == "pm_mastercard"


async def test_the_default_goes_over_when_its_card_is_deleted(admin: httpx.AsyncClient) -> None:
    """Until no card is left."""
    left = await ask(admin, "DELETE", f"{CARDS}/pm_visa")
    assert (left["defaultPaymentMethodId"], len(left["cards"])) == ("pm_mastercard", 1)
    assert await ask(admin, "GET", CARDS) == left
    none = await ask(admin, "DELETE", f"{CARDS}/pm_mastercard")
    assert (none["defaultPaymentMethodId"], none["cards"]) == (None, [])
    assert (await ask(admin, "GET", RECHARGE))["hasSavedPaymentMethod"] is False


async def test_deleting_another_card_leaves_the_default(admin: httpx.AsyncClient) -> None:
    """The default is not touched."""
    assert (await ask(admin, "DELETE", f"{CARDS}/pm_mastercard"))["defaultPaymentMethodId"] == "pm_visa"


@pytest.mark.parametrize("verb", ["PATCH", "DELETE"])
async def test_an_unknown_card_is_not_found(admin: httpx.AsyncClient, verb: str) -> None:
    """So is the card of another team."""
    assert await refused(admin, verb, f"{CARDS}/pm_other") == (404, "Card not found")
    team = await ask(admin, "POST", "/teams", {"name": "Other"})
    await ask(admin, "POST", f"/teams/{team['_id']}/switch")
    assert await refused(admin, verb, f"{CARDS}/pm_visa") == (404, "Card not found")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"isDefault": False}, "isDefault must be true: make another card the default"),
        ({"expMonth": 13}, "expMonth must be a whole number from 1 to 12"),
        ({"expYear": 2034.0}, "expYear must be a whole number from 2000 to 2100"),
        ({"billingDetails": "Ada"}, "billingDetails must be an object"),
    ],
)
async def test_a_bad_change_of_a_card_is_refused(admin: httpx.AsyncClient, body: object, reason: str) -> None:
    """The reason names the rule."""
    assert await refused(admin, "PATCH", f"{CARDS}/pm_visa", body) == (400, reason)


async def test_a_setup_intent_holds_a_secret(admin: httpx.AsyncClient) -> None:
    """Each is another."""
    first = await ask(admin, "POST", f"{CARDS}/setup-intent")
    second = await ask(admin, "POST", f"{CARDS}/setup-intent")
    assert set(first) == {"clientSecret", "customerId", "setupIntentId"}
    assert first["clientSecret"].startswith(f"{first['setupIntentId']}_secret_")
    assert first["clientSecret"] != second["clientSecret"]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("PATCH", RECHARGE),
        ("GET", CARDS),
        ("POST", f"{CARDS}/setup-intent"),
        ("DELETE", f"{CARDS}/pm_visa"),
        ("POST", "/payments/credits/top-up"),
        ("POST", "/payments/stripe/purchasePlan"),
        ("POST", "/payments/stripe/portal"),
        ("POST", "/payments/coinbase/charge"),
        ("POST", f"/teams/{SHARED}/billing/purchase"),
        ("POST", f"/teams/{SHARED}/billing/portal"),
    ],
)
async def test_a_member_does_no_billing(member: httpx.AsyncClient, verb: str, path: str) -> None:
    """The refusal names the roles that do."""
    assert await refused(member, verb, path, {}) == (403, "This needs the role ADMIN or BILLING_MANAGER")


async def test_a_billing_manager_does_billing(billing: httpx.AsyncClient) -> None:
    """As the ADMIN does."""
    assert len((await ask(billing, "GET", CARDS))["cards"]) == 2
    assert (await ask(billing, "POST", "/payments/stripe/portal"))["portalUrl"].startswith("http://sandbox.localhost/")
