"""Teams, their members and invites, and who may do what."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from openhuman_core.sandbox.app import create_app
from tests.sandbox.driving import ADMIN, ADMINS_OWN, BILLING, MEMBER, OUTSIDER, SHARED, age, ask, client, refused

pytestmark = pytest.mark.anyio

TEAM = f"/teams/{SHARED}"


async def roles(asker: httpx.AsyncClient) -> dict[str, str]:
    """Show the role of each of the user's teams, by name."""
    return {each["team"]["name"]: each["role"] for each in await ask(asker, "GET", "/teams")}


async def test_a_team_is_shown_with_subscription_and_usage(admin: httpx.AsyncClient) -> None:
    """As a whole."""
    team = await ask(admin, "GET", TEAM)
    assert team.pop("createdAt") <= team.pop("updatedAt")
    usage = team.pop("usage")
    assert team == {
        "_id": SHARED,
        "name": "Sandbox Team",
        "slug": "sandbox-team-000000",
        "createdBy": ADMIN,
        "isPersonal": False,
        "maxMembers": 10,
        "subscription": {
            "plan": "FREE",
            "hasActiveSubscription": False,
            "planExpiry": None,
            "stripeCustomerId": f"cus_{SHARED}",
        },
    }
    assert await ask(admin, "GET", "/teams/me/usage") == usage
    assert usage.pop("cycleStartDate") < usage.pop("cycleEndsAt")
    assert usage == {
        "remainingUsd": 2.5,
        "cycleBudgetUsd": 5,
        "cycleSpentUsd": 2.5,
        "cycleLimit5hr": 1,
        "cycleLimit7day": 2,
        "fiveHourCapUsd": 1,
        "fiveHourResetsAt": None,
        "plan": "FREE",
        "insights": {"totals": {"spentUsd": 2.5}, "dailySeries": [], "topModels": [], "topIntegrations": []},
    }


async def test_everybody_has_a_personal_team(
    admin: httpx.AsyncClient, billing: httpx.AsyncClient, member: httpx.AsyncClient, outsider: httpx.AsyncClient
) -> None:
    """And three of the four the shared one, each with another role."""
    assert [await roles(user) for user in (admin, billing, member, outsider)] == [
        {"Ada's team": "ADMIN", "Sandbox Team": "ADMIN"},
        {"Ben's team": "ADMIN", "Sandbox Team": "BILLING_MANAGER"},
        {"Mia's team": "ADMIN", "Sandbox Team": "MEMBER"},
        {"Otto's team": "ADMIN"},
    ]


async def test_a_team_is_created_renamed_and_deleted(admin: httpx.AsyncClient) -> None:
    """Its creator is its admin."""
    team_id = (await ask(admin, "POST", "/teams", {"name": "Büro 2"}))["_id"]
    assert (await roles(admin))["Büro 2"] == "ADMIN"
    assert (await ask(admin, "PUT", f"/teams/{team_id}", {"name": "Office"}))["name"] == "Office"
    assert (await ask(admin, "PUT", f"/teams/{team_id}", {}))["name"] == "Office"
    await ask(admin, "POST", f"/teams/{team_id}/switch", {})
    assert await ask(admin, "DELETE", f"/teams/{team_id}") == {"deleted": True}
    assert (await ask(admin, "GET", "/auth/me"))["activeTeamId"] == ADMINS_OWN
    assert await refused(admin, "GET", f"/teams/{team_id}") == (404, "Team not found")


async def test_a_personal_team_is_neither_deleted_nor_left(admin: httpx.AsyncClient) -> None:
    """Its user is the only admin there."""
    answer = await refused(admin, "DELETE", f"/teams/{ADMINS_OWN}")
    assert answer == (400, "A personal team cannot be deleted")
    answer = await refused(admin, "POST", f"/teams/{ADMINS_OWN}/leave", {})
    assert answer == (400, "A team needs an admin, and this is the only one")


async def test_switching_makes_a_team_the_active_one(admin: httpx.AsyncClient) -> None:
    """Billing is that team's from then on."""
    assert (await ask(admin, "POST", f"/teams/{ADMINS_OWN}/switch", {}))["activeTeamId"] == ADMINS_OWN
    assert (await ask(admin, "GET", "/payments/credits/transactions"))["total"] == 0


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("PUT", TEAM),
        ("DELETE", TEAM),
        ("DELETE", f"{TEAM}/members/{ADMIN}"),
        ("PUT", f"{TEAM}/members/{ADMIN}/role"),
        ("POST", f"{TEAM}/invites"),
        ("POST", f"{TEAM}/invites/email"),
        ("GET", f"{TEAM}/invites"),
        ("DELETE", f"{TEAM}/invites/x"),
    ],
)
async def test_only_an_admin_manages_a_team(
    billing: httpx.AsyncClient, member: httpx.AsyncClient, outsider: httpx.AsyncClient, verb: str, path: str
) -> None:
    """A role that is not enough and no role at all are told apart."""
    for user in (billing, member):
        assert await refused(user, verb, path) == (403, "This needs the role ADMIN")
    assert await refused(outsider, verb, path) == (403, "You are not a member of this team")


async def test_members_are_listed_for_members(member: httpx.AsyncClient, outsider: httpx.AsyncClient) -> None:
    """In the order in which they came."""
    listed = await ask(member, "GET", f"{TEAM}/members")
    assert [(each["user"]["_id"], each["role"]) for each in listed] == [
        (ADMIN, "ADMIN"),
        (BILLING, "BILLING_MANAGER"),
        (MEMBER, "MEMBER"),
    ]
    last = listed[2]
    assert last.pop("_id") != last.pop("joinedAt")
    assert last == {
        "teamId": SHARED,
        "user": {"_id": MEMBER, "firstName": "Mia", "username": "sandbox-member"},
        "role": "MEMBER",
        "invitedBy": ADMIN,
    }
    assert await refused(outsider, "GET", f"{TEAM}/members") == (403, "You are not a member of this team")


async def test_a_role_is_changed(admin: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    """It holds from the next request on."""
    path = f"{TEAM}/members/{MEMBER}/role"
    assert (await ask(admin, "PUT", path, {"role": "ADMIN"}))["role"] == "ADMIN"
    assert (await roles(member))["Sandbox Team"] == "ADMIN"
    assert (await ask(member, "PUT", f"{TEAM}/members/{ADMIN}/role", {"role": "MEMBER"}))["role"] == "MEMBER"
    assert await refused(admin, "PUT", path, {"role": "MEMBER"}) == (403, "This needs the role ADMIN")


async def test_the_only_admin_stays_admin(admin: httpx.AsyncClient) -> None:
    """Whichever way it is tried."""
    reason = (400, "A team needs an admin, and this is the only one")
    assert await refused(admin, "PUT", f"{TEAM}/members/{ADMIN}/role", {"role": "MEMBER"}) == reason
    assert await refused(admin, "DELETE", f"{TEAM}/members/{ADMIN}") == reason
    assert await refused(admin, "POST", f"{TEAM}/leave", {}) == reason


async def test_a_role_that_there_is_not_is_refused(admin: httpx.AsyncClient) -> None:
    """The roles are named."""
    answer = await refused(admin, "PUT", f"{TEAM}/members/{MEMBER}/role", {"role": "OWNER"})
    assert answer == (400, "role must be one of: ADMIN, BILLING_MANAGER, MEMBER")


async def test_a_member_that_there_is_not_is_not_found(admin: httpx.AsyncClient) -> None:
    """Neither to be changed nor to be removed."""
    path = f"{TEAM}/members/{OUTSIDER}"
    assert await refused(admin, "DELETE", path) == (404, "Member not found")
    assert await refused(admin, "PUT", f"{path}/role", {"role": "MEMBER"}) == (404, "Member not found")


async def test_a_member_who_goes_is_active_at_home(admin: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    """Whether removed or gone by choice."""
    assert await ask(member, "POST", f"{TEAM}/leave", {}) == {"removed": True}
    assert await roles(member) == {"Mia's team": "ADMIN"}
    assert (await ask(member, "GET", "/auth/me"))["activeTeamId"] != SHARED
    assert await ask(admin, "DELETE", f"{TEAM}/members/{BILLING}") == {"removed": True}
    assert len(await ask(admin, "GET", f"{TEAM}/members")) == 1


async def test_an_invite_is_used_up(
    admin: httpx.AsyncClient, member: httpx.AsyncClient, outsider: httpx.AsyncClient
) -> None:
    """It keeps who used it, and the newcomer is a MEMBER."""
    await ask(member, "POST", f"{TEAM}/leave", {})
    invite = await ask(admin, "POST", f"{TEAM}/invites", {})
    assert re.fullmatch("T-[0-9a-f]{12}", invite["code"])
    assert (invite["maxUses"], invite["currentUses"], invite["usageHistory"]) == (1, 0, [])
    joined = await ask(outsider, "POST", "/teams/join", {"code": invite["code"]})
    assert (joined["team"]["_id"], joined["role"]) == (SHARED, "MEMBER")
    assert (await roles(outsider))["Sandbox Team"] == "MEMBER"
    answer = await refused(outsider, "POST", "/teams/join", {"code": invite["code"]})
    assert answer == (409, "You are already a member of this team")
    answer = await refused(member, "POST", "/teams/join", {"code": invite["code"]})
    assert answer == (400, "This invite has been used up")
    used = (await ask(admin, "GET", f"{TEAM}/invites"))[-1]
    assert (used["currentUses"], [use["userId"] for use in used["usageHistory"]]) == (1, [OUTSIDER])


async def test_a_revoked_invite_is_neither_listed_nor_joined(
    admin: httpx.AsyncClient, outsider: httpx.AsyncClient
) -> None:
    """Revoking it again finds nothing."""
    invite = await ask(admin, "POST", f"{TEAM}/invites", {"maxUses": 5, "expiresInDays": 30})
    path = f"{TEAM}/invites/{invite['_id']}"
    assert (await ask(admin, "DELETE", path))["revokedAt"] is not None
    assert [each["code"] for each in await ask(admin, "GET", f"{TEAM}/invites")] == ["T-000000000000"]
    answer = await refused(outsider, "POST", "/teams/join", {"code": invite["code"]})
    assert answer == (400, "This invite has been revoked")
    assert await refused(admin, "DELETE", path) == (404, "Invite not found")


async def test_an_expired_invite_is_not_joined(outsider: httpx.AsyncClient, tmp_path: Path) -> None:
    """One is there from the start, to try it with."""
    answer = await refused(outsider, "POST", "/teams/join", {"code": "T-000000000000"})
    assert answer == (400, "This invite has expired")
    app = create_app(tmp_path / "state")
    invite = await ask(client(app), "POST", f"{TEAM}/invites", {})
    age(tmp_path / "state", "invite", "expiresAt")
    answer = await refused(client(app, "sandbox-outsider"), "POST", "/teams/join", {"code": invite["code"]})
    assert answer == (400, "This invite has expired")


async def test_an_unknown_invite_is_not_found(admin: httpx.AsyncClient, outsider: httpx.AsyncClient) -> None:
    """So is the invite of a team that is gone."""
    assert await refused(outsider, "POST", "/teams/join", {"code": "T-1"}) == (404, "Invite not found")
    team_id = (await ask(admin, "POST", "/teams", {"name": "Gone"}))["_id"]
    invite = await ask(admin, "POST", f"/teams/{team_id}/invites", {})
    await ask(admin, "DELETE", f"/teams/{team_id}")
    assert await refused(outsider, "POST", "/teams/join", {"code": invite["code"]}) == (404, "Invite not found")


async def test_a_personal_team_has_room_for_one(admin: httpx.AsyncClient, outsider: httpx.AsyncClient) -> None:
    """Its invites lead nowhere."""
    invite = await ask(admin, "POST", f"/teams/{ADMINS_OWN}/invites", {})
    answer = await refused(outsider, "POST", "/teams/join", {"code": invite["code"]})
    assert answer == (400, "This team is full")


async def test_an_invite_sent_by_mail_is_listed(admin: httpx.AsyncClient) -> None:
    """With the address."""
    invite = await ask(admin, "POST", f"{TEAM}/invites/email", {"email": "otto@example.com"})
    assert invite["email"] == "otto@example.com"
    assert (await ask(admin, "GET", f"{TEAM}/invites"))[-1] == invite


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("invites", {"maxUses": 0}, "maxUses must be a whole number from 1 to 2147483647"),
        ("invites", {"maxUses": 1.0}, "maxUses must be a whole number from 1 to 2147483647"),
        ("invites", {"expiresInDays": 366}, "expiresInDays must be a whole number from 1 to 365"),
        ("invites/email", {}, "email must be an e-mail address"),
        ("invites/email", {"email": "otto"}, "email must be an e-mail address"),
    ],
)
async def test_a_bad_invite_is_not_made(admin: httpx.AsyncClient, path: str, body: object, reason: str) -> None:
    """Only the seeded one is listed."""
    assert await refused(admin, "POST", f"{TEAM}/{path}", body) == (400, reason)
    assert len(await ask(admin, "GET", f"{TEAM}/invites")) == 1
