"""Spend caps, budgets and referrals."""

from __future__ import annotations

import httpx
import pytest

from tests.sandbox.driving import OUTSIDER, ask, refused

pytestmark = pytest.mark.anyio

NO_CAPS = {"dailyUsd": None, "weeklyUsd": None, "monthlyUsd": None}


async def test_spend_caps_are_replaced(admin: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    """They are the user's own."""
    assert await ask(admin, "GET", "/spend-caps") == NO_CAPS
    caps = {"dailyUsd": 5.25, "monthlyUsd": None}
    assert await ask(admin, "PUT", "/spend-caps", caps) == caps
    assert await ask(admin, "GET", "/spend-caps") == caps
    assert await ask(member, "GET", "/spend-caps") == NO_CAPS


async def test_an_api_key_has_spend_caps_of_its_own(admin: httpx.AsyncClient) -> None:
    """They show in the list."""
    key = await ask(admin, "POST", "/api-keys", {"name": "ci"})
    assert key["spendCaps"] == NO_CAPS
    changed = await ask(admin, "PUT", f"/api-keys/{key['id']}/spend-caps", {"weeklyUsd": 10})
    assert changed["spendCaps"] == {"weeklyUsd": 10}
    assert await ask(admin, "GET", "/api-keys") == [changed]


@pytest.mark.parametrize("value", [-1, "5", True, 0.001])
async def test_a_bad_spend_cap_is_refused(admin: httpx.AsyncClient, value: object) -> None:
    """Caps are amounts."""
    answer = await refused(admin, "PUT", "/spend-caps", {"dailyUsd": value})
    assert answer == (400, "dailyUsd must be an amount in USD, in whole cents, from 0 to 999999.99")


async def test_a_seat_is_created_changed_and_deleted(admin: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    """What is not given keeps its value."""
    seat = await ask(admin, "POST", "/budgets/seats", {"plan": "PRO", "priority": 2})
    shown = {"id": seat["id"], "plan": "PRO", "createdAt": seat["createdAt"]}
    assert seat == shown | {"priority": 2, "agentIds": [], "enabled": True}
    path = f"/budgets/seats/{seat['id']}"
    changed = await ask(admin, "PATCH", path, {"agentIds": ["a"], "enabled": False, "plan": "BASIC"})
    assert changed == shown | {"priority": 2, "agentIds": ["a"], "enabled": False}
    budgets = await ask(admin, "GET", "/budgets")
    assert (budgets["monthlyBudgetUsd"], budgets["seats"]) == (5, [changed])
    assert await refused(member, "DELETE", path) == (404, "Seat not found")
    assert await ask(admin, "DELETE", path) == {"deleted": True}
    assert await refused(admin, "PATCH", path, {}) == (404, "Seat not found")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "plan must be one of: FREE, BASIC, PRO, BASIC_MONTHLY, BASIC_YEARLY, PRO_MONTHLY, PRO_YEARLY"),
        ({"plan": "PRO", "priority": -1}, "priority must be a whole number from 0 to 2147483647"),
        ({"plan": "PRO", "agentIds": [1]}, "agentIds must be an array; each must be a string that is not empty"),
    ],
)
async def test_a_bad_seat_is_not_made(admin: httpx.AsyncClient, body: object, reason: str) -> None:
    """The reason names the rule."""
    assert await refused(admin, "POST", "/budgets/seats", body) == (400, reason)


async def test_a_referral_is_claimed_once(admin: httpx.AsyncClient, outsider: httpx.AsyncClient) -> None:
    """Both sides see it."""
    before = await ask(outsider, "GET", "/referral/stats")
    assert before == {
        "referralCode": "REF-OTTO",
        "referralLink": "http://sandbox.localhost/r/REF-OTTO",
        "referrals": [],
        "totals": {"totalRewardUsd": 0, "pendingCount": 0, "convertedCount": 0},
        "appliedReferralCode": None,
        "canApplyReferral": True,
    }
    claim = await ask(outsider, "POST", "/referral/claim", {"code": "REF-ADA", "deviceFingerprint": "d"})
    assert (claim["userId"], claim["code"]) == (OUTSIDER, "REF-ADA")
    after = await ask(outsider, "GET", "/referral/stats")
    assert after == before | {"appliedReferralCode": "REF-ADA", "canApplyReferral": False}
    stats = await ask(admin, "GET", "/referral/stats")
    assert (stats["referrals"], stats["totals"]["pendingCount"]) == ([claim], 1)
    answer = await refused(outsider, "POST", "/referral/claim", {"code": "REF-BEN"})
    assert answer == (400, "You have already claimed a referral code")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"code": "REF-ADA"}, (400, "You cannot claim your own referral code")),
        ({"code": "  "}, (400, "code must be a string that is not empty")),
        ({"code": "REF-NOBODY"}, (404, "Referral code not found")),
    ],
)
async def test_a_bad_referral_is_refused(admin: httpx.AsyncClient, body: object, answer: tuple[int, str]) -> None:
    """Each with its own reason."""
    assert await refused(admin, "POST", "/referral/claim", body) == answer
