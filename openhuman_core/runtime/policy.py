"""What this program was told not to do, whatever the account may: nothing but reads, no secrets, some methods only.

A pattern is matched against a name such as `team_delete_team`, with `*` for anything; what is denied is denied though
it be allowed too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from openhuman_core.errors import Configuration, PolicyDenied
from openhuman_core.settings import Settings

if TYPE_CHECKING:  # start-up pays for each import
    from openhuman_core.registry.method import Method


def check_patterns(settings: Settings, names: Callable[[], Iterable[str]]) -> None:
    """Raise `Configuration` for a pattern that no method's name matches: it would limit nothing."""
    patterns = (*settings.allow, *settings.deny)
    known = [name.removeprefix("openhuman.") for name in names()] if patterns else []
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise Configuration(
                f"no method is called {pattern}", hint="Name methods as billing_top_up, or by patterns as team_*."
            )


def check(settings: Settings, method: Method) -> None:
    """Raise `PolicyDenied` for a method that may not be called."""
    reason = denial(settings, method)
    if reason is not None:
        raise PolicyDenied(
            f"{method.name} is denied by this program's policy: {reason}",
            hint="Ask the operator of this program, or call a method that rpc.discover does not show as denied.",
        )


def denial(settings: Settings, method: Method) -> str | None:
    """Say why a method may not be called; None where it may."""
    name = method.name.removeprefix("openhuman.")
    if settings.read_only and method.writes:
        return "read-only"
    if settings.no_secrets and method.secret:
        return "no secrets"
    if any(fnmatchcase(name, pattern) for pattern in settings.deny):
        return "denied by name"
    if settings.allow and not any(fnmatchcase(name, pattern) for pattern in settings.allow):
        return "not among what is allowed"
    return None


def shown(settings: Settings) -> dict[str, Any]:
    """Give what is set, as `core.health` tells it; amounts as text, to the digit."""
    limit = settings.max_spend_usd
    found = {
        "readOnly": settings.read_only,
        "noSecrets": settings.no_secrets,
        "allow": [*settings.allow],
        "deny": [*settings.deny],
        "maxSpendUsd": None if limit is None else f"{limit:f}",
    }
    return {name: value for name, value in found.items() if value}
