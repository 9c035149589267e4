"""A parent process's session with the daemon, line by line; exits 1 when a line is not as it must be."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

from openhuman_core.client import CallFailed, Client, connect

CLONE = Path(__file__).parent.parent


def show(title: str, found: str, *, right: bool) -> None:
    """Print one line of the session, and stop where it is wrong."""
    print(f"  {'✓' if right else '✗'} {title:22} {found}", flush=True)
    if not right:
        sys.exit(1)


async def payload(client: Client, method: str, **params: Any) -> Any:
    """Make a call and give the hosted API's payload."""
    return (await client.call(f"openhuman.{method}", **params))["result"]


async def billing(client: Client) -> None:
    """Look at the account, and begin to pay."""
    me = await payload(client, "auth_get_me")
    show("who am I", me["username"], right=me["username"] == "sandbox-admin")
    plan = await payload(client, "billing_get_current_plan")
    show("current plan", plan["plan"], right=plan["plan"] in ("FREE", "BASIC", "PRO"))
    before = await payload(client, "billing_get_balance")
    show("balance", json.dumps(before), right=before["teamTopupUsd"] >= 0)
    top_up = await payload(client, "billing_top_up", amountUsd=25, gateway="stripe")
    show("top-up, 25 USD", top_up["url"], right=top_up["amountUsd"] == 25 and top_up["url"].startswith("http"))  # noqa: PLR2004
    await client.call("sandbox.settle", id=top_up["gatewayTransactionId"], outcome="pay")
    after = await payload(client, "billing_get_balance")
    show("balance once paid", json.dumps(after), right=after["teamTopupUsd"] == before["teamTopupUsd"] + 25)
    page = await payload(client, "billing_get_transactions", limit=3)
    newest = page["transactions"][0]
    show("newest transaction", f"{newest['type']} {newest['amountUsd']} USD", right=newest["type"] == "EARN")


async def team(client: Client) -> None:
    """Add a member in two ways, change one's role, remove one, and be refused."""
    teams = await payload(client, "team_list_teams")
    shared = next(entry["team"]["_id"] for entry in teams if not entry["team"]["isPersonal"])
    members = await payload(client, "team_list_members", teamId=shared)
    roles = {member["user"]["username"]: member["role"] for member in members}
    show("members", json.dumps(roles), right=roles["sandbox-admin"] == "ADMIN")
    invite = await payload(client, "team_create_invite", teamId=shared, maxUses=1, expiresInDays=7)
    show("invite by link", invite["code"], right=invite["code"].startswith("T-") and invite["maxUses"] == 1)
    await payload(client, "team_send_email_invite", teamId=shared, email="new@example.com")
    invites = await payload(client, "team_list_invites", teamId=shared)
    show("invite by e-mail", f"{len(invites)} invites are open", right=len(invites) >= 2)  # noqa: PLR2004
    member = next(member["user"]["_id"] for member in members if member["user"]["username"] == "sandbox-member")
    await payload(client, "team_change_member_role", teamId=shared, userId=member, role="BILLING_MANAGER")
    members = await payload(client, "team_list_members", teamId=shared)
    role = next(entry["role"] for entry in members if entry["user"]["_id"] == member)
    show("role change", role, right=role == "BILLING_MANAGER")
    await payload(client, "team_remove_member", teamId=shared, userId=member)
    left = await payload(client, "team_list_members", teamId=shared)
    show("removal", f"{len(left)} members are left", right=len(left) == len(members) - 1)
    try:
        await payload(client, "team_leave_team", teamId=shared)
    except CallFailed as refusal:
        show("refusal", refusal.message, right=refusal.data["kind"] == "rejected")
    else:
        show("refusal", "the only admin could leave", right=False)


async def main() -> None:
    """Run the session in a home that is gone afterwards."""
    (CLONE / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CLONE / ".cache") as home:
        env = {**os.environ, "OPENHUMAN_WORKSPACE": home}
        print("openhuman-core serve --sandbox", flush=True)
        async with connect("--sandbox", "--log-level", "warning", env=env) as client:
            version = await client.call("core.version")
            show("version", version["version"], right=bool(version["version"]))
            await billing(client)
            await team(client)
    print("every line is as it must be")


anyio.run(main)
