"""Auth as the hosted API says it: the wire contract, section 5."""

from __future__ import annotations

from typing import Any

from openhuman_core.backend.envelope import read_json
from openhuman_core.backend.route import Route

ME = Route("GET", "/auth/me")
CONSUME_LOGIN_TOKEN = Route("POST", "/auth/login-token/consume", body={"token": "loginToken"})


def user_of(profile: bytes) -> dict[str, Any] | None:
    """Give a profile that is an object."""
    return _object(read_json(profile)) or None


def user_id_of(profile: bytes) -> str | None:
    """Find the user's id in a profile: `id`, `_id` or `userId`, at the top or under `user`, `data` or `data.user`."""
    top = _object(read_json(profile))
    data = _object(top.get("data"))
    for place in (top, _object(top.get("user")), data, _object(data.get("user"))):
        for name in ("id", "_id", "userId"):
            found = place.get(name)
            if isinstance(found, str | int) and not isinstance(found, bool) and str(found):
                return str(found)
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
