"""Plans: what they cost, what they allow, and which one a team is on."""

from openhuman_core.sandbox.call import Call, to_usd
from openhuman_core.sandbox.store import Row, new_id, now

BUDGETS = {  # USD
    "FREE": {"monthlyBudgetUsd": 5, "weeklyBudgetUsd": 2, "fiveHourCapUsd": 1},
    "BASIC": {"monthlyBudgetUsd": 20, "weeklyBudgetUsd": 5, "fiveHourCapUsd": 1},
    "PRO": {"monthlyBudgetUsd": 200, "weeklyBudgetUsd": 50, "fiveHourCapUsd": 10},
}
PLANS = {  # tier, cents, days
    "BASIC_MONTHLY": ("BASIC", 2000, 30),
    "BASIC_YEARLY": ("BASIC", 20000, 365),
    "PRO_MONTHLY": ("PRO", 20000, 30),
    "PRO_YEARLY": ("PRO", 200000, 365),
}
INTERVALS = {"monthly": "MONTHLY", "annual": "YEARLY"}


def subscription(customer_id: str, plan: str | None = None) -> Row:
    """Make the subscription of a team, from now on: to a plan, or to nothing."""
    free = {"plan": "FREE", "hasActiveSubscription": False, "planExpiry": None, "stripeCustomerId": customer_id}
    if plan is None:
        return free
    tier, _, days = PLANS[plan]
    return free | {"plan": tier, "hasActiveSubscription": True, "planExpiry": now(days=days), "id": new_id("sub_")}


def get_current_plan(call: Call) -> Row:
    """Show the plan of the team."""
    held = call.team["subscription"]
    shown = {name: held[name] for name in ("plan", "hasActiveSubscription", "planExpiry")}
    terms = {"id": held.get("id"), "status": "active", "currentPeriodEnd": held["planExpiry"], "quantity": 1}
    return {**shown, "subscription": terms if held["hasActiveSubscription"] else None, **BUDGETS[held["plan"]]}


def list_plans(_call: Call) -> object:
    """List what there is to buy."""
    prices = {name: {"id": name, "plan": tier, "priceUsd": to_usd(cents)} for name, (tier, cents, _) in PLANS.items()}
    return [price | {"days": PLANS[name][2]} | BUDGETS[PLANS[name][0]] for name, price in prices.items()]
