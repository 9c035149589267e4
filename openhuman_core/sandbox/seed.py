"""What a new sandbox starts with: four users and their teams, cards, coupons, a login token and an expired invite."""

from openhuman_core.sandbox.credits import enter
from openhuman_core.sandbox.identity import keep_credential
from openhuman_core.sandbox.store import Store, now
from openhuman_core.sandbox.teams import add_invite, add_member, add_team

SHARED_TEAM = "Sandbox Team"
USERS = {  # user name, which is the session token too: first name, and role in the shared team
    "sandbox-admin": ("Ada", "ADMIN"),
    "sandbox-billing": ("Ben", "BILLING_MANAGER"),
    "sandbox-member": ("Mia", "MEMBER"),
    "sandbox-outsider": ("Otto", None),
}
COUPONS = {"SANDBOX5": 5, "SANDBOX10": 10, "SANDBOX20": 20}  # USD
UNUSED = {"redeemedAt": None, "activationType": "IMMEDIATE", "fulfilled": False, "fulfilledAt": None}
CARDS = {"visa": ("4242", 12, 2034), "mastercard": ("4444", 6, 2033)}


def seed(db: Store) -> None:
    """Fill a store that has no users yet, and leave any other as it is."""
    with db.transaction():
        if db.all("user"):
            return
        admin, team_id = f"{1:024x}", f"{0xA:024x}"
        for number, (username, (first_name, role)) in enumerate(USERS.items(), 1):
            user_id, own = f"{number:024x}", f"{number + 0xA:024x}"
            user = {"_id": user_id, "firstName": first_name, "email": f"{username}@example.com", "username": username}
            teams = {"activeTeamId": team_id if role else own, "personalTeamId": own}
            user |= teams | {"referralCode": f"REF-{first_name.upper()}", "createdAt": now()}
            db.put("user", user_id, user)
            keep_credential(db, "authorization", f"Bearer {username}", user)
            add_team(db, user, f"{first_name}'s team", own, personal=True)
            if role == "ADMIN":
                add_team(db, user, SHARED_TEAM, team_id)
            elif role:
                add_member(db, team_id, user, role, invitedBy=admin)
        for brand, (last4, month, year) in CARDS.items():
            card = {"id": f"pm_{brand}", "brand": brand, "last4": last4, "expMonth": month, "expYear": year}
            more = {"isDefault": brand == "visa", "billingDetails": {"name": "Ada Sandbox"}}
            db.put("card", f"pm_{brand}", card | more, team_id)
        for code, amount in COUPONS.items():
            db.put("coupon", code, {"code": code, "amountUsd": amount, **UNUSED, "activationCondition": None})
        db.put("login token", "sandbox-login", {"jwtToken": "sandbox-admin", "usedAt": None})
        add_invite(db, team_id, admin, expiresInDays=-1, code="T-000000000000")
        enter(db, team_id, "promotion", "SIGNUP_BONUS", 1000)
        enter(db, team_id, "promotion", "INFERENCE", -250)
