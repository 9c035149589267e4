"""The team methods; who may do what is the hosted API's decision on every call."""

from __future__ import annotations

from openhuman_core.backend.route import Effect
from openhuman_core.domains.team import adapter, models
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Namespace
from openhuman_core.registry.outcome import Anything, RpcOutcome
from openhuman_core.registry.params import NoParams

team = Namespace("team")


@team.method(adapter.USAGE, effect=Effect.READ, log="team usage fetched from backend")
async def get_usage(ctx: Context, params: NoParams) -> RpcOutcome[models.Usage]:
    """Give what the active team has used and may still use."""
    return await ctx.relay(params)


@team.method(adapter.TEAMS, effect=Effect.READ, log="teams fetched from backend")
async def list_teams(ctx: Context, params: NoParams) -> RpcOutcome[list[models.Membership]]:
    """List the user's teams, each with the user's role in it."""
    return await ctx.relay(params)


@team.method(adapter.TEAM, effect=Effect.READ, log="team fetched from backend")
async def get_team(ctx: Context, params: models.TeamParams) -> RpcOutcome[models.Team]:
    """Give one team."""
    return await ctx.relay(params)


@team.method(
    adapter.CREATE_TEAM, effect=Effect.CREATE, log="team created via backend", verify="openhuman.team_list_teams"
)
async def create_team(ctx: Context, params: models.NameParams) -> RpcOutcome[models.Team]:
    """Create a team."""
    return await ctx.relay(params)


@team.method(adapter.UPDATE_TEAM, effect=Effect.WRITE, log="team updated via backend")
async def update_team(ctx: Context, params: models.UpdateTeamParams) -> RpcOutcome[models.Team]:
    """Rename a team; without a name nothing is changed."""
    return await ctx.relay(params)


@team.method(adapter.DELETE_TEAM, effect=Effect.WRITE, destructive=True, log="team deleted via backend")
async def delete_team(ctx: Context, params: models.TeamParams) -> RpcOutcome[Anything]:
    """Delete a team."""
    return await ctx.relay(params)


@team.method(adapter.SWITCH_TEAM, effect=Effect.WRITE, log="active team switched via backend")
async def switch_team(ctx: Context, params: models.TeamParams) -> RpcOutcome[Anything]:
    """Make a team the user's active one."""
    return await ctx.relay(params)


@team.method(
    adapter.LEAVE_TEAM,
    effect=Effect.CREATE,
    destructive=True,
    log="team left via backend",
    verify="openhuman.team_list_teams",
)
async def leave_team(ctx: Context, params: models.TeamParams) -> RpcOutcome[Anything]:
    """Leave a team."""
    return await ctx.relay(params)


@team.method(adapter.JOIN_TEAM, effect=Effect.CREATE, log="team joined via backend", verify="openhuman.team_list_teams")
async def join_team(ctx: Context, params: models.CodeParams) -> RpcOutcome[Anything]:
    """Join a team with the code of an invite."""
    return await ctx.relay(params)


@team.method(adapter.MEMBERS, effect=Effect.READ, log="team members fetched from backend")
async def list_members(ctx: Context, params: models.TeamParams) -> RpcOutcome[list[models.Member]]:
    """List a team's members."""
    return await ctx.relay(params)


@team.method(adapter.REMOVE_MEMBER, effect=Effect.WRITE, destructive=True, log="team member removed via backend")
async def remove_member(ctx: Context, params: models.MemberParams) -> RpcOutcome[Anything]:
    """Remove a member from a team."""
    return await ctx.relay(params)


@team.method(
    adapter.CHANGE_MEMBER_ROLE, effect=Effect.WRITE, destructive=True, log="team member role updated via backend"
)
async def change_member_role(ctx: Context, params: models.RoleParams) -> RpcOutcome[Anything]:
    """Change a member's role."""
    return await ctx.relay(params)


@team.method(
    adapter.CREATE_INVITE,
    effect=Effect.CREATE,
    log="team invite created via backend",
    verify="openhuman.team_list_invites",
)
async def create_invite(ctx: Context, params: models.CreateInviteParams) -> RpcOutcome[models.Invite]:
    """Create an invite whose code can be passed on."""
    return await ctx.relay(params)


@team.method(
    adapter.SEND_EMAIL_INVITE,
    effect=Effect.CREATE,
    log="team invite sent via backend",
    verify="openhuman.team_list_invites",
)
async def send_email_invite(ctx: Context, params: models.EmailInviteParams) -> RpcOutcome[Anything]:
    """Send an invite by e-mail."""
    return await ctx.relay(params)


@team.method(adapter.INVITES, effect=Effect.READ, log="team invites listed from backend")
async def list_invites(ctx: Context, params: models.TeamParams) -> RpcOutcome[list[models.Invite]]:
    """List a team's invites."""
    return await ctx.relay(params)


@team.method(adapter.REVOKE_INVITE, effect=Effect.WRITE, log="team invite revoked via backend")
async def revoke_invite(ctx: Context, params: models.InviteParams) -> RpcOutcome[Anything]:
    """Revoke an invite."""
    return await ctx.relay(params)


@team.method(adapter.BILLING_PLAN, effect=Effect.READ, log="team billing plan fetched from backend")
async def get_billing_plan(ctx: Context, params: models.TeamParams) -> RpcOutcome[Anything]:
    """Give a team's plan."""
    return await ctx.relay(params)


@team.method(
    adapter.PURCHASE_PLAN,
    effect=Effect.MONEY,
    log="team plan purchase session created",
    verify="openhuman.team_get_billing_plan",
)
async def purchase_plan(ctx: Context, params: models.PurchaseParams) -> RpcOutcome[models.PurchaseSession]:
    """Start the purchase of a plan for a team and give its checkout page."""
    return await ctx.relay_link(params, bought=params.plan, url="checkoutUrl", link_id="sessionId")


@team.method(adapter.CREATE_BILLING_PORTAL, effect=Effect.CREATE, log="team billing portal session created")
async def create_billing_portal(ctx: Context, params: models.PortalParams) -> RpcOutcome[models.TeamPortal]:
    """Give the page on which a team's subscription is managed."""
    return await ctx.relay(params)
