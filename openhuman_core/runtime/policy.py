"""What this program was told not to do, whatever the account may."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from openhuman_core.errors import Configuration, PolicyDenied
from openhuman_core.settings import Settings

if TYPE_CHECKING:  # start-up pays for each import
    from openhuman_core.registry.method import Method


class Policy:
    """The operator's limits on methods: read-only, patterns that allow or deny, and no secrets.

    A pattern is matched against a name such as `team_delete_team`, with `*` for anything; what is denied is denied
    though it be allowed too.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check_patterns(self, names: Callable[[], Iterable[str]]) -> None:
        """Raise `Configuration` for a pattern that no method's name matches: it would limit nothing."""
        patterns = (*self._settings.allow, *self._settings.deny)
        known = [name.removeprefix("openhuman.") for name in names()] if patterns else []
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in known):
                raise Configuration(
                    f"no method is called {pattern}", hint="Name methods as billing_top_up, or by patterns as team_*."
                )

    def check(self, method: Method) -> None:
        """Raise `PolicyDenied` for a method that may not be called."""
        reason = self.denial(method)
        if reason is not None:
            raise PolicyDenied(
                f"{method.name} is denied by this program's policy: {reason}",
                hint="Ask the operator of this program, or call a method that rpc.discover does not show as denied.",
            )

    def denial(self, method: Method) -> str | None:
        """Say why a method may not be called; None where it may."""
        settings, name = self._settings, method.name.removeprefix("openhuman.")
        if settings.read_only and method.writes:
            return "read-only"
        if settings.no_secrets and method.secret:
            return "no secrets"
        if any(fnmatchcase(name, pattern) for pattern in settings.deny):
            return "denied by name"
        if settings.allow and not any(fnmatchcase(name, pattern) for pattern in settings.allow):
            return "not among what is allowed"
        return None

    def shown(self) -> dict[str, Any]:
        """Give what is set, as `core.health` tells it; amounts as text, to the digit."""
        settings = self._settings
        limit = settings.max_spend_usd
        found = {
            "readOnly": settings.read_only,
            "noSecrets": settings.no_secrets,
            "allow": [*settings.allow],
            "deny": [*settings.deny],
            "maxSpendUsd": None if limit is None else f"{limit:f}",
        }
        return {name: value for name, value in found.items() if value}
