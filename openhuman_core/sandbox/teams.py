"""Teams: who may do what in them, what they used, their members, and the invites by which those come."""

import re
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from openhuman_core.sandbox.call import TEXT, Call, matching, one_of, to_cents, to_usd, whole
from openhuman_core.sandbox.envelope import Refusal
from openhuman_core.sandbox.plans import BUDGETS, subscription
from openhuman_core.sandbox.store import Row, Store, is_past, new_id, now

ROLES = ("ADMIN", "BILLING_MANAGER", "MEMBER")


def access(db: Store, user: Row, team_id: str, roles: Collection[str] = ROLES) -> Row:
    """Find a team for a user who has one of `roles` there, or refuse. A plan that ran out is over."""
    team = db.find("team", team_id)
    member = db.get("member", f"{team_id}/{user['_id']}")
    if member is None:
        raise Refusal(403, "You are not a member of this team", "NOT_A_MEMBER")
    if member["role"] not in roles:
        raise Refusal(403, f"This needs the role {' or '.join(roles)}", "INSUFFICIENT_ROLE")
    if is_past(team["subscription"]["planExpiry"]):
        team["subscription"] = subscription(team["subscription"]["stripeCustomerId"])
    return team


def add_team(db: Store, user: Row, name: str, team_id: str, *, personal: bool = False) -> Row:
    """Create a team, of which `user` is the admin."""
    slug = f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{team_id[:6]}"
    team = {"_id": team_id, "name": name, "slug": slug, "createdBy": user["_id"], "isPersonal": personal}
    terms = {"maxMembers": 1 if personal else 10, "subscription": subscription(f"cus_{team_id}")}
    add_member(db, team_id, user, "ADMIN")
    return db.put("team", team_id, team | terms | {"createdAt": now(), "updatedAt": now()})


def add_member(db: Store, team_id: str, user: Row, role: str, **invited_by: str) -> None:
    """Put a user into a team."""
    shown = {name: user[name] for name in ("_id", "firstName", "username")}
    member = {"_id": new_id(), "teamId": team_id, "user": shown, "role": role, "joinedAt": now(), **invited_by}
    db.put("member", f"{team_id}/{user['_id']}", member, team_id)


def show_team(db: Store, team: Row) -> Row:
    """Write a team as the wire has it, with the usage of its cycle, which is the calendar month in UTC."""
    today, midnight = datetime.now(UTC), "01T00:00:00.000Z"
    start, end = f"{today:%Y-%m-}{midnight}", f"{today.replace(day=1) + timedelta(days=32):%Y-%m-}{midnight}"
    spends = [entry for entry in db.all("transaction", team["_id"]) if entry["type"] == "SPEND"]
    spent = sum(to_cents(entry["amountUsd"]) for entry in spends if entry["createdAt"] >= start)
    month, week, hours = BUDGETS[team["subscription"]["plan"]].values()
    left = to_usd(max(0, month * 100 - spent))
    cycle = {"remainingUsd": left, "cycleBudgetUsd": month, "cycleSpentUsd": to_usd(spent)}
    limits = {"cycleLimit5hr": hours, "cycleLimit7day": week, "fiveHourCapUsd": hours, "fiveHourResetsAt": None}
    dates = {"cycleStartDate": start, "cycleEndsAt": end, "plan": team["subscription"]["plan"]}
    insights = {"totals": {"spentUsd": to_usd(spent)}, "dailySeries": [], "topModels": [], "topIntegrations": []}
    return team | {"usage": cycle | limits | dates | {"insights": insights}}


def list_teams(call: Call) -> object:
    """List the user's teams with the role in each, in the order in which the user came to them."""
    mine = [member for member in call.db.all("member") if member["user"]["_id"] == call.user["_id"]]
    return [{"team": show_team(call.db, access(call.db, call.user, m["teamId"])), "role": m["role"]} for m in mine]


def create_team(call: Call) -> object:
    """Create a shared team."""
    return show_team(call.db, add_team(call.db, call.user, call.need("name"), new_id()))


def update_team(call: Call) -> object:
    """Rename a team, if a name is given."""
    changed = call.team | call.given(name=TEXT) | {"updatedAt": now()}
    return show_team(call.db, call.db.put("team", call.team["_id"], changed))


def delete_team(call: Call) -> object:
    """Delete a shared team; its members go on in their personal teams."""
    if call.team["isPersonal"]:
        raise Refusal(400, "A personal team cannot be deleted", "PERSONAL_TEAM")
    for member in call.db.all("member", call.team["_id"]):
        _drop_member(call, member["user"]["_id"])
    call.db.drop("team", call.team["_id"])
    return {"deleted": True}


def switch_team(call: Call) -> object:
    """Make a team the active one."""
    return call.db.put("user", call.user["_id"], call.user | {"activeTeamId": call.team["_id"]})


def remove_member(call: Call) -> object:
    """Take the member named in the path out of a team, or else the user who asks."""
    user_id = call.path.get("userId", call.user["_id"])
    call.db.find("member", f"{call.team['_id']}/{user_id}")
    _keep_an_admin(call, user_id)
    _drop_member(call, user_id)
    return {"removed": True}


def change_member_role(call: Call) -> object:
    """Give a member another role."""
    role, key = call.need("role", one_of(*ROLES)), f"{call.team['_id']}/{call.path['userId']}"
    member = call.db.find("member", key)
    if role != "ADMIN":
        _keep_an_admin(call, call.path["userId"])
    return call.db.put("member", key, member | {"role": role})


def create_invite(call: Call) -> object:
    """Create an invite, for one use within a week unless said otherwise."""
    given = call.given(maxUses=whole(1), expiresInDays=whole(1, 365))
    return add_invite(call.db, call.team["_id"], call.user["_id"], **given)


def send_email_invite(call: Call) -> object:
    """Create an invite for one use within a week, as if it had been sent."""
    email = call.need("email", matching(r"\S+@\S+", "an e-mail address"))
    return add_invite(call.db, call.team["_id"], call.user["_id"], email=email)


def add_invite(db: Store, team_id: str, user_id: str, expiresInDays: int = 7, **more: Any) -> Row:  # noqa: N803 - wire
    """Create an invite to a team."""
    invite = {"_id": new_id(), "code": f"T-{secrets.token_hex(6)}", "teamId": team_id, "createdBy": user_id}
    terms = {"expiresAt": now(days=expiresInDays), "maxUses": 1, "currentUses": 0, "usageHistory": []}
    return db.put("invite", invite["_id"], invite | terms | more, team_id)


def revoke_invite(call: Call) -> object:
    """Make an invite worthless; it belongs to no team any more, so that it is not listed."""
    invite = call.find("invite", "inviteId") | {"revokedAt": now()}
    return call.db.put("invite", invite["_id"], invite, "nobody")


def join_team(call: Call) -> object:
    """Use an invite to become a MEMBER of its team."""
    code = call.need("code")
    invite = next((invite for invite in call.db.all("invite") if invite["code"] == code), {"teamId": ""})
    team = call.db.get("team", invite["teamId"])
    if team is None:
        raise Refusal(404, "Invite not found", "INVITE_NOT_FOUND")
    if call.db.get("member", f"{team['_id']}/{call.user['_id']}"):
        raise Refusal(409, "You are already a member of this team", "ALREADY_A_MEMBER")
    if "revokedAt" in invite:
        raise Refusal(400, "This invite has been revoked", "INVITE_REVOKED")
    if is_past(invite["expiresAt"]):
        raise Refusal(400, "This invite has expired", "INVITE_EXPIRED")
    if invite["currentUses"] >= invite["maxUses"]:
        raise Refusal(400, "This invite has been used up", "INVITE_USED_UP")
    if len(call.db.all("member", team["_id"])) >= team["maxMembers"]:
        raise Refusal(400, "This team is full", "TEAM_FULL")
    uses = [*invite["usageHistory"], {"userId": call.user["_id"], "usedAt": now()}]
    call.db.put("invite", invite["_id"], invite | {"currentUses": len(uses), "usageHistory": uses})
    add_member(call.db, team["_id"], call.user, "MEMBER", invitedBy=invite["createdBy"])
    return {"team": show_team(call.db, team), "role": "MEMBER"}


def _keep_an_admin(call: Call, user_id: str) -> None:
    """Refuse what would leave a team without an admin."""
    admins = [member["user"]["_id"] for member in call.db.all("member", call.team["_id"]) if member["role"] == "ADMIN"]
    if admins == [user_id]:
        raise Refusal(400, "A team needs an admin, and this is the only one", "LAST_ADMIN")


def _drop_member(call: Call, user_id: str) -> None:
    """Take a user out of a team, and back to the personal one if it was active."""
    call.db.drop("member", f"{call.team['_id']}/{user_id}")
    user = call.db.find("user", user_id)
    if user["activeTeamId"] == call.team["_id"]:
        call.db.put("user", user_id, user | {"activeTeamId": user["personalTeamId"]})
