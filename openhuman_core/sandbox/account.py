"""The rest of an account: API keys, budgets, spend caps and referrals."""

import secrets

from openhuman_core.sandbox.call import AMOUNT, FLAG, TEXT, Call, check, list_of, matching, one_of, whole
from openhuman_core.sandbox.envelope import Refusal
from openhuman_core.sandbox.identity import keep_credential
from openhuman_core.sandbox.plans import BUDGETS, PLANS
from openhuman_core.sandbox.store import Row, new_id, now

SCOPES = ["read", "write", "inference"]
NO_CAPS = {"dailyUsd": None, "weeklyUsd": None, "monthlyUsd": None}
SEAT = {"priority": whole(0), "agentIds": list_of(TEXT), "enabled": FLAG}
TIME = matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d[0-9:.]*Z", "an ISO 8601 time in UTC")


def caps(call: Call) -> Row:
    """Read spend caps: amounts, or null for none."""
    return {name: value if value is None else check(name, value, AMOUNT) for name, value in call.body.items()}


def create_api_key(call: Call) -> object:
    """Create an API key and show it, this once, in full."""
    given = call.given(scopes=list_of(one_of(*SCOPES)), allowedIps=list_of(TEXT), expiresAt=TIME)
    secret = f"ohk_{secrets.token_hex(20)}"
    names = {"id": new_id(), "name": call.need("name"), "prefix": secret[:8], "last4": secret[-4:]}
    terms = {"scopes": given.get("scopes") or SCOPES, "allowedIps": given.get("allowedIps", []), "spendCaps": NO_CAPS}
    times = {"createdAt": now(), "expiresAt": given.get("expiresAt"), "revokedAt": None}
    keep_credential(call.db, "x-api-key", secret, call.user, names["id"])
    return call.db.put("API key", names["id"], names | terms | times, call.user["_id"]) | {"key": secret}


def create_seat(call: Call) -> object:
    """Create a seat."""
    names = {"id": new_id(), "plan": call.need("plan", one_of(*BUDGETS, *PLANS)), "createdAt": now()}
    terms = {"priority": 0, "agentIds": [], "enabled": True} | call.given(**SEAT)
    return call.db.put("seat", names["id"], names | terms, call.user["_id"])


def get_referral_stats(call: Call) -> object:
    """Show the user's referral code, who claimed it, and whose the user claimed."""
    code, claims = call.user["referralCode"], call.db.all("claim", call.user["referralCode"])
    claimed = call.db.get("claim", call.user["_id"])
    names = {"referralCode": code, "referralLink": f"{call.base_url}/r/{code}", "referrals": claims}
    totals = {"totalRewardUsd": 0, "pendingCount": len(claims), "convertedCount": 0}
    applied = {"appliedReferralCode": claimed and claimed["code"], "canApplyReferral": claimed is None}
    return {**names, "totals": totals, **applied}


def claim_referral(call: Call) -> object:
    """Say by whose code the user came, which can be done once."""
    code = call.need("code")
    call.given(deviceFingerprint=TEXT)
    if code not in [user["referralCode"] for user in call.db.all("user")]:
        raise Refusal(404, "Referral code not found", "REFERRAL_NOT_FOUND")
    if code == call.user["referralCode"]:
        raise Refusal(400, "You cannot claim your own referral code", "OWN_REFERRAL_CODE")
    if call.db.get("claim", call.user["_id"]):
        raise Refusal(400, "You have already claimed a referral code", "REFERRAL_CLAIMED")
    return call.db.put("claim", call.user["_id"], {"userId": call.user["_id"], "code": code, "claimedAt": now()}, code)
