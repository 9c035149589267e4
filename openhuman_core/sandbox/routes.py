"""Every route of the hosted API as a table: verb and template, handler, and the roles that may call it."""

from collections.abc import Callable
from urllib.parse import unquote

from openhuman_core.sandbox import account, identity, payments, plans, teams
from openhuman_core.sandbox import credits as funds
from openhuman_core.sandbox.account import NO_CAPS, SEAT, caps
from openhuman_core.sandbox.call import Call
from openhuman_core.sandbox.store import now

ANY = teams.ROLES
BILLING = ("ADMIN", "BILLING_MANAGER")
ADMIN = ("ADMIN",)

# The roles are those in the team of the path, else in the user's active one; None where no credential is needed.
ROUTES: dict[str, tuple[Callable[[Call], object], tuple[str, ...] | None]] = {
    "GET /auth/me": (lambda call: call.user, ANY),
    "POST /auth/login-token/consume": (identity.consume_login_token, None),
    "GET /payments/stripe/currentPlan": (plans.get_current_plan, ANY),
    "GET /payments/summary": (payments.get_summary, ANY),
    "GET /payments/stripe/plans": (plans.list_plans, ANY),
    "GET /payments/credits/balance": (funds.get_balance, ANY),
    "GET /payments/credits/transactions": (funds.get_transactions, ANY),
    "GET /payments/credits/auto-recharge": (funds.get_auto_recharge, ANY),
    "PATCH /payments/credits/auto-recharge": (funds.update_auto_recharge, BILLING),
    "GET /payments/credits/auto-recharge/cards": (funds.get_cards, BILLING),
    "POST /payments/credits/auto-recharge/cards/setup-intent": (funds.create_setup_intent, BILLING),
    "PATCH /payments/credits/auto-recharge/cards/{paymentMethodId}": (funds.update_card, BILLING),
    "DELETE /payments/credits/auto-recharge/cards/{paymentMethodId}": (funds.delete_card, BILLING),
    "POST /payments/stripe/purchasePlan": (payments.purchase_plan, BILLING),
    "POST /payments/stripe/portal": (payments.create_portal_session, BILLING),
    "POST /payments/credits/top-up": (payments.top_up, BILLING),
    "POST /payments/coinbase/charge": (payments.create_coinbase_charge, BILLING),
    "GET /payments/coinbase/charge/{gatewayTransactionId}": (payments.get_coinbase_charge, ANY),
    "POST /coupons/redeem": (funds.redeem_coupon, ANY),
    "GET /coupons/me": (lambda call: call.db.all("coupon", call.user["_id"]), ANY),
    "GET /teams/me/usage": (lambda call: teams.show_team(call.db, call.team)["usage"], ANY),
    "GET /teams": (teams.list_teams, ANY),
    "GET /teams/{teamId}": (lambda call: teams.show_team(call.db, call.team), ANY),
    "POST /teams": (teams.create_team, ANY),
    "PUT /teams/{teamId}": (teams.update_team, ADMIN),
    "DELETE /teams/{teamId}": (teams.delete_team, ADMIN),
    "POST /teams/{teamId}/switch": (teams.switch_team, ANY),
    "POST /teams/{teamId}/leave": (teams.remove_member, ANY),
    "POST /teams/join": (teams.join_team, ANY),
    "GET /teams/{teamId}/members": (lambda call: call.db.all("member", call.team["_id"]), ANY),
    "DELETE /teams/{teamId}/members/{userId}": (teams.remove_member, ADMIN),
    "PUT /teams/{teamId}/members/{userId}/role": (teams.change_member_role, ADMIN),
    "POST /teams/{teamId}/invites": (teams.create_invite, ADMIN),
    "POST /teams/{teamId}/invites/email": (teams.send_email_invite, ADMIN),
    "GET /teams/{teamId}/invites": (lambda call: call.db.all("invite", call.team["_id"]), ADMIN),
    "DELETE /teams/{teamId}/invites/{inviteId}": (teams.revoke_invite, ADMIN),
    "GET /teams/{teamId}/billing/plan": (plans.get_current_plan, ANY),
    "POST /teams/{teamId}/billing/purchase": (payments.purchase_plan, BILLING),
    "POST /teams/{teamId}/billing/portal": (payments.create_portal_session, BILLING),
    "GET /api-keys": (lambda call: call.db.all("API key", call.user["_id"]), ANY),
    "POST /api-keys": (account.create_api_key, ANY),
    "DELETE /api-keys/{keyId}": (lambda call: call.change("API key", "keyId", revokedAt=now()), ANY),
    "PUT /api-keys/{keyId}/spend-caps": (lambda call: call.change("API key", "keyId", spendCaps=caps(call)), ANY),
    "GET /budgets": (lambda call: plans.get_current_plan(call) | {"seats": call.db.all("seat", call.user["_id"])}, ANY),
    "POST /budgets/seats": (account.create_seat, ANY),
    "PATCH /budgets/seats/{seatId}": (lambda call: call.change("seat", "seatId", **call.given(**SEAT)), ANY),
    "DELETE /budgets/seats/{seatId}": (lambda call: call.forget("seat", "seatId"), ANY),
    "GET /spend-caps": (lambda call: call.db.get("spend caps", call.user["_id"]) or NO_CAPS, ANY),
    "PUT /spend-caps": (lambda call: call.db.put("spend caps", call.user["_id"], caps(call)), ANY),
    "GET /referral/stats": (account.get_referral_stats, ANY),
    "POST /referral/claim": (account.claim_referral, ANY),
}


def match(verb: str, raw_path: str) -> tuple[str, dict[str, str]]:
    """Find the route of a path that is still percent-encoded, and its decoded segments; no route is an empty name."""
    given = f"{verb} {raw_path}".split("/")
    for route in ROUTES:
        pairs = list(zip(route.split("/"), given, strict=False))
        if route.count("/") + 1 == len(given) and all(a == b or (a.startswith("{") and b) for a, b in pairs):
            return route, {name[1:-1]: unquote(value) for name, value in pairs if name.startswith("{")}
    return "", {}
