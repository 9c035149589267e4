"""Teams: what goes in, and the documented shapes of what comes back. Amounts are USD."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from openhuman_core.registry.params import Count, OptionalText, Params, Plan, Segment, Text


class TeamParams(Params):
    team_id: Segment = Field(description="Id of the team.")


class NameParams(Params):
    name: Text = Field(description="Name of the new team.")


class UpdateTeamParams(TeamParams):
    name: OptionalText = Field(None, description="New name of the team.")


class CodeParams(Params):
    code: Text = Field(description="Code of the invite.")


class MemberParams(TeamParams):
    user_id: Segment = Field(description="Id of the member's user.")


class RoleParams(MemberParams):
    role: Text = Field(description="New role: ADMIN, BILLING_MANAGER or MEMBER.")


class CreateInviteParams(TeamParams):
    max_uses: Count | None = Field(None, description="How many may join with it.")
    expires_in_days: Count | None = Field(None, description="For how many days it is good.")


class EmailInviteParams(TeamParams):
    email: Text = Field(description="Address to send the invite to.")


class InviteParams(TeamParams):
    invite_id: Segment = Field(description="Id of the invite.")


class PurchaseParams(TeamParams):
    plan: Plan = Field(description="Plan to buy for the team.")
    success_url: OptionalText = Field(None, description="Where the checkout leads when it is paid.")
    cancel_url: OptionalText = Field(None, description="Where the checkout leads when it is left.")


class PortalParams(TeamParams):
    return_url: OptionalText = Field(None, description="Where the portal leads back to.")


Role = Literal["ADMIN", "BILLING_MANAGER", "MEMBER"]


class TeamSubscription(TypedDict):
    plan: str
    hasActiveSubscription: bool
    planExpiry: NotRequired[str | None]
    stripeCustomerId: NotRequired[str | None]


class Team(TypedDict):
    _id: str
    name: str
    slug: str
    createdBy: str
    isPersonal: bool
    maxMembers: int
    inviteCode: NotRequired[str]
    subscription: TeamSubscription
    usage: dict[str, Any]
    createdAt: str
    updatedAt: str


class Membership(TypedDict):
    team: Team
    role: Role


class MemberUser(TypedDict):
    _id: str
    firstName: NotRequired[str]
    lastName: NotRequired[str]
    username: NotRequired[str]
    telegramId: NotRequired[str | int]


class Member(TypedDict):
    _id: str
    user: MemberUser
    role: Role
    joinedAt: str
    invitedBy: NotRequired[str | None]


class InviteUse(TypedDict):
    userId: str
    usedAt: str


class Invite(TypedDict):
    _id: str
    code: str
    createdBy: str
    expiresAt: str
    maxUses: int
    currentUses: int
    usageHistory: list[InviteUse]


class Insights(TypedDict):
    totals: dict[str, Any]
    dailySeries: list[Any]
    topModels: list[Any]
    topIntegrations: list[Any]


class Usage(TypedDict):
    remainingUsd: float
    cycleBudgetUsd: float
    cycleSpentUsd: float
    cycleLimit5hr: float
    cycleLimit7day: float
    fiveHourCapUsd: float
    fiveHourResetsAt: str | None
    cycleStartDate: str
    cycleEndsAt: str
    bypassCycleLimit: NotRequired[bool]
    plan: NotRequired[str]
    insights: NotRequired[Insights]


class PurchaseSession(TypedDict):
    checkoutUrl: str | None
    sessionId: str


class TeamPortal(TypedDict):
    portalUrl: str
