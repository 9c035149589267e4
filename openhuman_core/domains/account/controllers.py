"""The methods of API keys, budgets, spend caps and referrals."""

from __future__ import annotations

from openhuman_core.backend.route import Effect
from openhuman_core.domains.account import adapter, models
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Namespace
from openhuman_core.registry.outcome import Anything, RpcOutcome
from openhuman_core.registry.params import NoParams

api_keys = Namespace("api_keys")
budgets = Namespace("budgets")
spend_caps = Namespace("spend_caps")
referral = Namespace("referral")


@api_keys.method(adapter.API_KEYS, effect=Effect.READ, log="api keys fetched from backend")
async def api_keys_list(ctx: Context, params: NoParams) -> RpcOutcome[list[Anything]]:
    """List the API keys, without their secrets."""
    return await ctx.relay(params)


@api_keys.method(
    adapter.CREATE_API_KEY,
    effect=Effect.CREATE,
    secret=True,
    log="api key created via backend",
    verify="openhuman.api_keys_list",
)
async def api_keys_create(ctx: Context, params: models.CreateKeyParams) -> RpcOutcome[Anything]:
    """Create an API key; the whole key is given once."""
    return await ctx.relay(params)


@api_keys.method(adapter.REVOKE_API_KEY, effect=Effect.WRITE, destructive=True, log="api key revoked via backend")
async def api_keys_revoke(ctx: Context, params: models.KeyParams) -> RpcOutcome[Anything]:
    """Revoke an API key."""
    return await ctx.relay(params)


@api_keys.method(adapter.SET_API_KEY_SPEND_CAPS, effect=Effect.WRITE, log="api key spend caps set via backend")
async def api_keys_set_spend_caps(ctx: Context, params: models.KeyCapsParams) -> RpcOutcome[Anything]:
    """Set what an API key may spend; the payload is sent as it is."""
    return await ctx.relay(params)


@budgets.method(adapter.BUDGETS, effect=Effect.READ, log="budgets fetched from backend")
async def budgets_get(ctx: Context, params: NoParams) -> RpcOutcome[Anything]:
    """Give the budget and its seats."""
    return await ctx.relay(params)


@budgets.method(
    adapter.CREATE_SEAT, effect=Effect.CREATE, log="budget seat created via backend", verify="openhuman.budgets_get"
)
async def budgets_create_seat(ctx: Context, params: models.CreateSeatParams) -> RpcOutcome[Anything]:
    """Add a seat to the budget."""
    return await ctx.relay(params)


@budgets.method(adapter.UPDATE_SEAT, effect=Effect.WRITE, log="budget seat updated via backend")
async def budgets_update_seat(ctx: Context, params: models.UpdateSeatParams) -> RpcOutcome[Anything]:
    """Change a seat of the budget."""
    return await ctx.relay(params)


@budgets.method(adapter.DELETE_SEAT, effect=Effect.WRITE, destructive=True, log="budget seat deleted via backend")
async def budgets_delete_seat(ctx: Context, params: models.SeatParams) -> RpcOutcome[Anything]:
    """Take a seat out of the budget."""
    return await ctx.relay(params)


@spend_caps.method(adapter.SPEND_CAPS, effect=Effect.READ, log="spend caps fetched from backend")
async def spend_caps_get(ctx: Context, params: NoParams) -> RpcOutcome[Anything]:
    """Give what the account may spend."""
    return await ctx.relay(params)


@spend_caps.method(adapter.SET_SPEND_CAPS, effect=Effect.WRITE, log="spend caps set via backend")
async def spend_caps_set(ctx: Context, params: models.SpendCapsParams) -> RpcOutcome[Anything]:
    """Set what the account may spend; the payload is sent as it is."""
    return await ctx.relay(params)


@referral.method(
    adapter.REFERRAL_STATS, effect=Effect.READ, log="referral stats fetched from backend GET /referral/stats"
)
async def referral_get_stats(ctx: Context, params: NoParams) -> RpcOutcome[Anything]:
    """Give the user's referral code and what it earned."""
    return await ctx.relay(params)


@referral.method(
    adapter.CLAIM_REFERRAL,
    effect=Effect.CREATE,
    log="referral claim accepted by backend POST /referral/claim",
    verify="openhuman.referral_get_stats",
)
async def referral_claim(ctx: Context, params: models.ClaimParams) -> RpcOutcome[Anything]:
    """Claim another user's referral code."""
    return await ctx.relay(params)
