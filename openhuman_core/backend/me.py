"""What the hosted API says of whose credential it is; profiles have had several shapes."""

from __future__ import annotations

from typing import Any

from openhuman_core.backend.envelope import read_json
from openhuman_core.backend.route import Route

ME = Route("GET", "/auth/me")


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


def active_team_of(profile: bytes) -> str | None:
    """Find the id of the team that acts where a call names none."""
    team = _object(read_json(profile)).get("activeTeamId")
    return team if isinstance(team, str) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
