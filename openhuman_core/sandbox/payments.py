"""Payment links: what asks to be paid, and what paying or declining it does."""

from openhuman_core.sandbox.call import AMOUNT, OBJECT, TEXT, Call, check, one_of, to_cents, to_usd
from openhuman_core.sandbox.credits import enter, get_auto_recharge, get_balance, open_coupon
from openhuman_core.sandbox.envelope import invalid
from openhuman_core.sandbox.plans import INTERVALS, PLANS, get_current_plan, subscription
from openhuman_core.sandbox.store import Row, Store, is_past, new_id, now

OUTCOMES = {"pay": "COMPLETED", "decline": "DECLINED"}
# What the hosted API says of the payment, for each status that the sandbox keeps of a charge.
PAYMENTS = {"NEW": "PENDING", "COMPLETED": "CONFIRMED", "DECLINED": "FAILED", "EXPIRED": "FAILED"}


def top_up(call: Call) -> object:
    """Ask for credits to be paid."""
    cents = to_cents(call.need("amountUsd", AMOUNT))
    if cents == 0:
        raise invalid("amountUsd", "must be greater than 0")
    gateway = call.given(gateway=one_of("stripe", "coinbase")).get("gateway", "stripe")
    link = _add_link(call, "top-up", cents)
    return {"url": link["url"], "gatewayTransactionId": link["id"], "amountUsd": to_usd(cents), "gateway": gateway}


def purchase_plan(call: Call) -> object:
    """Ask for a plan to be paid; a coupon must be open, and stays so."""
    plan = call.need("plan", one_of(*PLANS))
    given = call.given(successUrl=TEXT, cancelUrl=TEXT, couponCode=TEXT)
    if "couponCode" in given:
        open_coupon(call.db, given["couponCode"])
    link = _add_link(call, "plan", PLANS[plan][1], plan)
    return {"checkoutUrl": link["url"], "sessionId": link["id"]}


def create_coinbase_charge(call: Call) -> object:
    """Ask for a plan to be paid through Coinbase."""
    interval = call.given(interval=one_of(*INTERVALS), metadata=OBJECT).get("interval", "annual")
    plan = f"{call.need('plan', one_of('BASIC', 'PRO'))}_{INTERVALS[interval]}"
    link = _add_link(call, "coinbase-charge", PLANS[plan][1], plan)
    shown = {name: link[name] for name in ("status", "expiresAt")}
    return {"gatewayTransactionId": link["id"], "hostedUrl": link["url"], **shown}


def get_coinbase_charge(call: Call) -> object:
    """Show how the payment of a charge or of a top-up stands."""
    link = call.find("charge", "gatewayTransactionId")
    status = status_of(link)
    paid = link["amountUsd"] if status == "COMPLETED" else 0
    amounts = {"amountPaid": paid, "amountExpected": link["amountUsd"], "currency": "USD"}
    payment = {"status": PAYMENTS[status], **amounts, "underpaidAmount": 0, "overpaidAmount": 0}
    shown = "EXPIRED" if status == "DECLINED" else status
    return {"status": shown, "payment": payment, "expiresAt": link["expiresAt"]}


def create_portal_session(call: Call) -> object:
    """Link to the page where a customer of Stripe's would manage the subscription."""
    call.given(returnUrl=TEXT)
    return {"portalUrl": f"{call.base_url}/portal/{call.team['_id']}"}


def get_summary(call: Call) -> object:
    """Show plan, balance and automatic recharge in one."""
    return {"plan": get_current_plan(call), "balance": get_balance(call), "autoRecharge": get_auto_recharge(call)}


def settle(db: Store, link_id: str, outcome: str) -> tuple[Row, bool]:
    """Pay or decline a link; false, and nothing done, if it was settled or has expired."""
    check("outcome", outcome, one_of(*OUTCOMES))
    link = db.find("charge", link_id)
    if status_of(link) != "NEW":
        return link, False
    link = db.put("charge", link_id, link | {"status": OUTCOMES[outcome]})
    team = db.get("team", link["teamId"])
    if team and outcome == "pay" and link["plan"]:
        bought = subscription(team["subscription"]["stripeCustomerId"], link["plan"])
        db.put("team", team["_id"], team | {"subscription": bought, "updatedAt": now()})
    elif outcome == "pay" and link["plan"] is None:
        enter(db, link["teamId"], "topup", "TOP_UP", to_cents(link["amountUsd"]))
    return link, True


def status_of(link: Row) -> str:
    """Tell how a link stands: NEW, COMPLETED, DECLINED, or EXPIRED when its hour has passed."""
    return "EXPIRED" if link["status"] == "NEW" and is_past(link["expiresAt"]) else str(link["status"])


def _add_link(call: Call, kind: str, cents: int, plan: str | None = None) -> Row:
    link_id = new_id("cs_" if kind == "plan" else "ch_")
    link: Row = {"id": link_id, "kind": kind, "url": f"{call.base_url}/pay/{link_id}", "user": call.user["username"]}
    link |= {"teamId": call.team["_id"], "amountUsd": to_usd(cents), "plan": plan, "expiresAt": now(hours=1)}
    link |= {"status": "NEW", "idempotencyKey": call.idempotency_key}
    return call.db.put("charge", link_id, link, call.team["_id"])
