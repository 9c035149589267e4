"""The methods that are there only with `--sandbox`; their results are bare, and they need no credential."""

from __future__ import annotations

from openhuman_core.backend.route import Effect
from openhuman_core.domains.sandbox import adapter, models
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Namespace
from openhuman_core.registry.outcome import Anything, RpcOutcome
from openhuman_core.registry.params import NoParams

sandbox = Namespace("sandbox", prefix="sandbox.")


@sandbox.method(adapter.ORDER_FAULT, effect=Effect.WRITE, needs_credential=False)
async def fault(ctx: Context, params: models.FaultParams) -> RpcOutcome[Anything]:
    """Order a fault for the next answers of a route."""
    return await ctx.relay(params)


@sandbox.method(adapter.SETTLE, effect=Effect.WRITE, needs_credential=False)
async def settle(ctx: Context, params: models.SettleParams) -> RpcOutcome[Anything]:
    """Pay or decline a payment link, as its payer would."""
    return await ctx.relay(params)


@sandbox.method(adapter.REQUESTS, effect=Effect.READ, needs_credential=False)
async def requests(ctx: Context, params: NoParams) -> RpcOutcome[Anything]:
    """List the requests that the sandbox was sent."""
    return await ctx.relay(params)
