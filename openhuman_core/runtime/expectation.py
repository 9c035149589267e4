"""Whose account, and which team, a process may write for; the hosted API says whose it is, before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from openhuman_core.backend.route import Effect, Sending
from openhuman_core.errors import PolicyDenied
from openhuman_core.registry.method import Method

if TYPE_CHECKING:  # costly to import
    from openhuman_core.backend.client import Backend
    from openhuman_core.backend.credentials import Credential


class Expectation:
    """The expected `user` and `team`, by their ids; None is any. The hosted API is asked once for each credential."""

    def __init__(self, user: str | None, team: str | None) -> None:
        self._user = user
        self._team = team
        self._asking = anyio.Lock()
        self._known: tuple[Credential, bytes] | None = None

    async def check(
        self, backend: Backend, credential: Credential, team_asked_for: str | None, *, timeout_seconds: float | None
    ) -> None:
        """Raise `PolicyDenied` for another account; the team is `team_asked_for`, else the active one.

        Raises also what `Backend.send` does.
        """
        if self._user is None and self._team in (None, team_asked_for):
            return
        from openhuman_core.backend import me  # noqa: PLC0415 - brings a parser

        async with self._asking:
            if self._known is None or self._known[0] != credential:
                profile = await backend.send(
                    me.ME.request({}),
                    effect=Effect.READ,
                    sending=Sending(),
                    credential=credential,
                    timeout_seconds=timeout_seconds,
                )
                self._known = (credential, profile)
        profile = self._known[1]
        found = {"user": me.user_id_of(profile), "team": team_asked_for or me.active_team_of(profile)}
        for what, expected in (("user", self._user), ("team", self._team)):
            if expected not in (None, found[what]):
                raise PolicyDenied(
                    f"the {what} is {found[what] or 'not known'}, not {expected}; nothing was written",
                    hint=f"Sign in as another user, or mend --expect-{what}.",
                )

    def forget_after(self, method: Method) -> None:
        """Ask again after a call that may have changed which team is active."""
        if method.writes and method.namespace.name == "team":
            self._known = None
