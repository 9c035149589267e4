"""Credits of a team: the transactions, the balance that they add up to, coupons, saved cards and automatic recharge."""

from datetime import UTC, datetime, timedelta

from openhuman_core.sandbox.call import AMOUNT, FLAG, OBJECT, Call, Rule, check, matching, to_cents, to_usd, whole
from openhuman_core.sandbox.envelope import Refusal
from openhuman_core.sandbox.store import Row, Store, new_id, now

EMPTY = {"promotion": 0, "topup": 0}  # the two funds of a balance, in cents
SETTINGS = {"enabled": False, "thresholdUsd": 5, "rechargeAmountUsd": 20, "weeklyLimitUsd": 100}
TRUE = Rule(lambda value: value is True, "must be true: make another card the default")
DIGITS = matching("[0-9]{1,9}", "a whole number")
PAGE = (("limit", "20"), ("offset", "0"))
NEVER = ("lastTriggeredAt", "lastRechargeAt", "lastPaymentIntentId", "lastError")


def enter(db: Store, team_id: str, fund: str, action: str, cents: int) -> None:
    """Enter a transaction: what a fund of the team earns, or spends where `cents` is negative."""
    balance = db.get("balance", team_id) or EMPTY
    balance = db.put("balance", team_id, balance | {fund: balance[fund] + cents})
    entry = {"id": new_id("txn_"), "type": "EARN" if cents > 0 else "SPEND", "action": action}
    amounts = {"amountUsd": to_usd(abs(cents)), "balanceAfterUsd": to_usd(sum(balance.values())), "createdAt": now()}
    db.put("transaction", entry["id"], entry | amounts, team_id)


def get_balance(call: Call) -> object:
    """Show what a team has, by fund."""
    balance = call.db.get("balance", call.team["_id"]) or EMPTY
    return {"promotionBalanceUsd": to_usd(balance["promotion"]), "teamTopupUsd": to_usd(balance["topup"])}


def get_transactions(call: Call) -> object:
    """Show a page of the transactions, newest first."""
    limit, start = (int(check(name, call.query.get(name, default), DIGITS)) for name, default in PAGE)
    entries = call.db.all("transaction", call.team["_id"])[::-1]
    return {"transactions": entries[start : start + limit], "total": len(entries)}


def open_coupon(db: Store, code: str) -> Row:
    """Find a coupon that nobody has redeemed, or refuse."""
    coupon = db.find("coupon", code)
    if coupon["redeemedAt"]:
        raise Refusal(400, "Coupon already redeemed", "COUPON_REDEEMED")
    return coupon


def redeem_coupon(call: Call) -> object:
    """Turn a coupon into credits of the active team."""
    coupon = open_coupon(call.db, call.need("code"))
    used = {"redeemedAt": now(), "fulfilled": True, "fulfilledAt": now()}
    call.db.put("coupon", coupon["code"], coupon | used, call.user["_id"])
    enter(call.db, call.team["_id"], "promotion", "COUPON", to_cents(coupon["amountUsd"]))
    return {"couponCode": coupon["code"], "amountUsd": coupon["amountUsd"], "pending": False}


def get_auto_recharge(call: Call) -> object:
    """Show the settings of a recharge that nothing in the sandbox ever triggers."""
    today = datetime.now(UTC)
    monday = f"{today - timedelta(days=today.weekday()):%Y-%m-%d}T00:00:00.000Z"
    settings = call.db.get("recharge", call.team["_id"]) or SETTINGS
    week = {"spentThisWeekUsd": 0, "weekStartDate": monday, "inFlight": False}
    state = {"hasSavedPaymentMethod": bool(call.db.all("card", call.team["_id"])), **dict.fromkeys(NEVER)}
    return settings | week | state


def update_auto_recharge(call: Call) -> object:
    """Change those settings that are given, and disregard members that are none."""
    given = call.given(enabled=FLAG, thresholdUsd=AMOUNT, rechargeAmountUsd=AMOUNT, weeklyLimitUsd=AMOUNT)
    settings = call.db.get("recharge", call.team["_id"]) or SETTINGS
    call.db.put("recharge", call.team["_id"], settings | given)
    return get_auto_recharge(call)


def get_cards(call: Call) -> object:
    """List the saved cards."""
    cards = call.db.all("card", call.team["_id"])
    default = next((card["id"] for card in cards if card["isDefault"]), None)
    customer_id = call.team["subscription"]["stripeCustomerId"]
    return {"customerId": customer_id, "defaultPaymentMethodId": default, "cards": cards}


def create_setup_intent(call: Call) -> object:
    """Begin to save a card, which in the sandbox leads no further."""
    intent, customer_id = new_id("seti_"), call.team["subscription"]["stripeCustomerId"]
    return {"clientSecret": f"{intent}_secret_{new_id()}", "customerId": customer_id, "setupIntentId": intent}


def update_card(call: Call) -> object:
    """Change expiry, billing details or which card is the default; disregard other members."""
    card = call.find("card", "paymentMethodId")
    given = call.given(expMonth=whole(1, 12), expYear=whole(2000, 2100), billingDetails=OBJECT, isDefault=TRUE)
    given["billingDetails"] = card["billingDetails"] | given.get("billingDetails", {})
    if "isDefault" in given:
        for other in call.db.all("card", call.team["_id"]):
            call.db.put("card", other["id"], other | {"isDefault": False})
    return call.change("card", "paymentMethodId", **given)


def delete_card(call: Call) -> object:
    """Delete a card; another becomes the default if this one was."""
    card = call.find("card", "paymentMethodId")
    call.db.drop("card", card["id"])
    for other in call.db.all("card", call.team["_id"])[:1] if card["isDefault"] else []:
        call.db.put("card", other["id"], other | {"isDefault": True})
    return get_cards(call)
