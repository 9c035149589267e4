"""The billing methods."""

from __future__ import annotations

import anyio

from openhuman_core.backend.envelope import read_json
from openhuman_core.backend.route import Effect
from openhuman_core.domains.billing import adapter, models
from openhuman_core.errors import CoreError
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Namespace
from openhuman_core.registry.outcome import Anything, RpcOutcome
from openhuman_core.registry.params import NoParams

billing = Namespace("billing")

# How long to wait before a charge is looked at again: little at first, for a payer who sits at the page.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 15.0
PAUSE_FACTOR = 1.5
# What one look is given, however little or much time is left for following; the call's own time is never passed, and
# so much of it is kept for the last look.
SHORTEST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 1.0, 30.0
LAST_LOOK_SECONDS = 0.5


@billing.method(adapter.CURRENT_PLAN, effect=Effect.READ, log="current plan fetched from backend")
async def get_current_plan(ctx: Context, params: NoParams) -> RpcOutcome[models.CurrentPlan]:
    """Give the account's plan, its subscription and its budgets."""
    return await ctx.relay(params)


@billing.method(adapter.SUMMARY, effect=Effect.READ, log="billing summary fetched")
async def get_summary(ctx: Context, params: NoParams) -> RpcOutcome[Anything]:
    """Give the account's billing at a glance."""
    return await ctx.relay(params)


@billing.method(adapter.PLANS, effect=Effect.READ, log="plans fetched from backend")
async def list_plans(ctx: Context, params: NoParams) -> RpcOutcome[list[Anything]]:
    """List the plans that can be bought."""
    return await ctx.relay(params)


@billing.method(adapter.BALANCE, effect=Effect.READ, log="credit balance fetched")
async def get_balance(ctx: Context, params: NoParams) -> RpcOutcome[models.Balance]:
    """Give the credit balance."""
    return await ctx.relay(params)


@billing.method(adapter.TRANSACTIONS, effect=Effect.READ, log="credit transactions fetched")
async def get_transactions(ctx: Context, params: models.TransactionsParams) -> RpcOutcome[models.Transactions]:
    """List credit transactions, newest first."""
    return await ctx.relay(params)


@billing.method(adapter.AUTO_RECHARGE, effect=Effect.READ, log="auto recharge settings fetched")
async def get_auto_recharge(ctx: Context, params: NoParams) -> RpcOutcome[models.AutoRecharge]:
    """Give the settings and the state of auto-recharge."""
    return await ctx.relay(params)


@billing.method(adapter.UPDATE_AUTO_RECHARGE, effect=Effect.WRITE, log="auto recharge settings updated")
async def update_auto_recharge(ctx: Context, params: models.AutoRechargeParams) -> RpcOutcome[models.AutoRecharge]:
    """Change settings of auto-recharge; the payload is sent as it is."""
    return await ctx.relay(params)


@billing.method(adapter.CARDS, effect=Effect.READ, log="saved cards fetched")
async def get_cards(ctx: Context, params: NoParams) -> RpcOutcome[models.Cards]:
    """List the saved cards."""
    return await ctx.relay(params)


@billing.method(
    adapter.CREATE_SETUP_INTENT,
    effect=Effect.CREATE,
    secret=True,
    log="setup intent created",
    verify="openhuman.billing_get_cards",
)
async def create_setup_intent(ctx: Context, params: NoParams) -> RpcOutcome[models.SetupIntent]:
    """Begin to save a card; the client secret is given once."""
    return await ctx.relay(params)


@billing.method(adapter.UPDATE_CARD, effect=Effect.WRITE, log="saved card updated")
async def update_card(ctx: Context, params: models.UpdateCardParams) -> RpcOutcome[Anything]:
    """Change a saved card; the payload is sent as it is."""
    return await ctx.relay(params)


@billing.method(adapter.DELETE_CARD, effect=Effect.WRITE, destructive=True, log="saved card deleted")
async def delete_card(ctx: Context, params: models.CardParams) -> RpcOutcome[Anything]:
    """Delete a saved card; deleting the default card makes another one the default."""
    return await ctx.relay(params)


@billing.method(
    adapter.PURCHASE_PLAN,
    effect=Effect.MONEY,
    log="plan purchase session created",
    verify="openhuman.billing_get_current_plan",
)
async def purchase_plan(ctx: Context, params: models.PurchasePlanParams) -> RpcOutcome[models.PurchasePlan]:
    """Start the purchase of a plan and give its checkout page."""
    return await ctx.relay_link(params, bought=params.plan, url="checkoutUrl", link_id="sessionId")


@billing.method(adapter.CREATE_PORTAL_SESSION, effect=Effect.CREATE, log="customer portal session created")
async def create_portal_session(ctx: Context, params: NoParams) -> RpcOutcome[models.Portal]:
    """Give the page on which the customer manages the subscription."""
    return await ctx.relay(params)


@billing.method(
    adapter.TOP_UP,
    effect=Effect.MONEY,
    log="credit top-up initiated",
    verify="openhuman.billing_get_transactions",
    spends="amountUsd",
)
async def top_up(ctx: Context, params: models.TopUpParams) -> RpcOutcome[models.TopUp]:
    """Start a credit top-up and give its payment link, which cannot be revoked."""
    return await ctx.relay_link(
        params, bought="credits", url="url", link_id="gatewayTransactionId", amount=params.amount_usd
    )


@billing.method(
    adapter.CREATE_COINBASE_CHARGE,
    effect=Effect.MONEY,
    log="Coinbase payment link created",
    verify="openhuman.billing_get_current_plan",
)
async def create_coinbase_charge(ctx: Context, params: models.CreateChargeParams) -> RpcOutcome[models.CoinbaseCharge]:
    """Create a Coinbase payment link for a plan; it cannot be revoked, and expires by itself."""
    return await ctx.relay_link(params, bought=params.plan, url="hostedUrl", link_id="gatewayTransactionId")


@billing.method(adapter.COINBASE_CHARGE, effect=Effect.READ, log="Coinbase charge fetched")
async def get_coinbase_charge(ctx: Context, params: models.ChargeParams) -> RpcOutcome[models.ChargeStatus]:
    """Give the state of a Coinbase charge."""
    outcome = await ctx.relay(params)
    status = adapter.status_of(read_json(outcome.value))
    if status is not None:
        ctx.records.note_status(params.gateway_transaction_id, status)
    return outcome


@billing.method(
    adapter.REDEEM_COUPON, effect=Effect.CREATE, log="coupon redeemed", verify="openhuman.billing_get_coupons"
)
async def redeem_coupon(ctx: Context, params: models.CouponParams) -> RpcOutcome[models.CouponRedemption]:
    """Redeem a coupon for credit."""
    return await ctx.relay(params)


@billing.method(adapter.COUPONS, effect=Effect.READ, log="user coupons fetched")
async def get_coupons(ctx: Context, params: NoParams) -> RpcOutcome[list[models.Coupon]]:
    """List the coupons that this user redeemed."""
    return await ctx.relay(params)


@billing.method(effect=Effect.READ, needs_credential=True, log="payment links listed")
async def list_payment_links(ctx: Context, params: models.PageParams) -> RpcOutcome[list[models.PaymentLink]]:
    """List the payment links that were made through this home and account, newest first."""
    return ctx.outcome(await ctx.records.links(params.limit, params.offset))


@billing.method(adapter.COINBASE_CHARGE, effect=Effect.READ, log="payment followed", waits=True)
async def wait_for_payment(ctx: Context, params: models.WaitParams) -> RpcOutcome[models.ChargeStatus]:
    """Follow a Coinbase charge until it is paid or over, or the time is up; its last state is the result."""
    deadline = ctx.deadline()
    end = min(anyio.current_time() + params.timeout_seconds, deadline - LAST_LOOK_SECONDS)
    look = {"gatewayTransactionId": params.gateway_transaction_id}
    pause, charge, last = FIRST_PAUSE_SECONDS, None, None
    while True:
        now = anyio.current_time()
        seconds = min(max(end - now, SHORTEST_LOOK_SECONDS), LONGEST_LOOK_SECONDS, max(deadline - now, 0.0))
        try:
            charge = await ctx.send(adapter.COINBASE_CHARGE, look, timeout_seconds=seconds)
        except CoreError as failure:
            if charge is None or not failure.retryable:
                raise
        status = adapter.status_of(read_json(charge))
        if status is not None and status != last:
            last = status
            ctx.progress({"status": status})
            ctx.records.note_status(params.gateway_transaction_id, status)
        left = end - anyio.current_time()
        if status in adapter.FINAL_STATUSES or left <= 0:
            return ctx.outcome(charge)
        await anyio.sleep(min(pause, left))
        pause = min(pause * PAUSE_FACTOR, LONGEST_PAUSE_SECONDS)
