"""Whose account, and which team, a process may write for; the hosted API says whose it is, before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openhuman_core.backend.route import Effect, Sending
from openhuman_core.errors import PolicyDenied

if TYPE_CHECKING:  # costly to import
    from openhuman_core.backend.client import Backend
    from openhuman_core.backend.credentials import Credential


class Expectation:
    """The expected `user` and `team`, by their ids; None is any.

    The hosted API is asked for the user once for each credential; which team is active may change at any time, by other
    programs too, and is asked for before each write that names none.
    """

    def __init__(self, user: str | None, team: str | None) -> None:
        self._user = user
        self._team = team
        self._checked: Credential | None = None

    async def check(
        self, backend: Backend, credential: Credential, team_asked_for: str | None, *, timeout_seconds: float | None
    ) -> None:
        """Raise `PolicyDenied` for another account; the team is `team_asked_for`, else the active one.

        Raises also what `Backend.send` does.
        """
        if self._team is not None and team_asked_for not in (None, self._team):
            raise _unexpected("team", team_asked_for, self._team)
        is_known_user = self._user is None or self._checked == credential
        if is_known_user and (self._team is None or team_asked_for is not None):
            return
        from openhuman_core.backend import me  # brings a parser

        profile = await backend.send(
            me.ME.request({}),
            effect=Effect.READ,
            sending=Sending(),
            credential=credential,
            timeout_seconds=timeout_seconds,
        )
        if self._user not in (None, user := me.user_id_of(profile)):
            raise _unexpected("user", user, self._user)
        if self._team not in (None, team := team_asked_for or me.active_team_of(profile)):
            raise _unexpected("team", team, self._team)
        self._checked = credential


def _unexpected(what: str, found: str | None, expected: str | None) -> PolicyDenied:
    return PolicyDenied(
        f"the {what} is {found or 'not known'}, not {expected}; nothing was written",
        hint=f"Sign in as another user, or mend --expect-{what}.",
    )
