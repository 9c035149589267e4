"""Who asks: session tokens, API keys and login tokens, and the user behind them."""

import hashlib
from collections.abc import Mapping

from openhuman_core.sandbox.call import Call
from openhuman_core.sandbox.envelope import Refusal
from openhuman_core.sandbox.store import Row, Store, is_past, now

HEADERS = ("authorization", "x-api-key")


def authenticate(db: Store, verb: str, headers: Mapping[str, str]) -> Row:
    """Find the user of a request, or refuse it: 401, or 403 where the scopes of an API key do not reach."""
    header = next((header for header in HEADERS if header in headers), None)
    if header is None:
        raise Refusal(401, "Authentication required", "UNAUTHENTICATED")
    credential = db.get("credential", _hashed(header, headers[header]))
    key = credential and db.get("API key", credential["keyId"])
    if credential is None or (key and (key["revokedAt"] or is_past(key["expiresAt"]))):
        raise Refusal(401, "Invalid token" if header == "authorization" else "Invalid API key", "INVALID_CREDENTIAL")
    needed = ("read", "write") if verb == "GET" else ("write",)
    if key and not set(needed).intersection(key["scopes"]):
        raise Refusal(403, f"This API key lacks the scope {' or '.join(needed)}", "INSUFFICIENT_SCOPE")
    return db.find("user", credential["userId"])


def keep_credential(db: Store, header: str, value: str, user: Row, key_id: str = "") -> None:
    """Accept a header from now on; nothing is kept but its hash."""
    credential = {"userId": user["_id"], "username": user["username"], "keyId": key_id}
    db.put("credential", _hashed(header, value), credential)


def without_secrets(db: Store, headers: Mapping[str, str]) -> dict[str, str]:
    """Copy headers, with the name of the user in the place of a credential."""
    shown = dict(headers)
    for name in set(HEADERS).intersection(shown):
        shown[name] = (db.get("credential", _hashed(name, shown[name])) or {"username": "<unknown>"})["username"]
    return shown


def consume_login_token(call: Call) -> object:
    """Exchange a login token, once, for its user's session token."""
    found = call.db.get("login token", call.need("token"))
    if found is None:
        raise Refusal(401, "Invalid login token", "INVALID_LOGIN_TOKEN")
    if found["usedAt"]:
        raise Refusal(400, "Login token has already been used", "LOGIN_TOKEN_USED")
    call.db.put("login token", call.body["token"], found | {"usedAt": now()})
    return {"jwtToken": found["jwtToken"]}


def _hashed(header: str, value: str) -> str:
    return hashlib.sha256(f"{header}: {value}".encode()).hexdigest()
