"""A look at everything that calls depend on, and what to do where something is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from openhuman_core import __version__
from openhuman_core.app import App
from openhuman_core.cli.call import ME, in_app
from openhuman_core.cli.failures import DONE, EXIT_CODES
from openhuman_core.cli.output import Output
from openhuman_core.errors import Configuration, CoreError

# The hosted API's links and tokens carry times; a clock further off than this makes them look over.
TOLERATED_SKEW_SECONDS = 30.0


def examine(output: Output, settings: Mapping[str, str | None]) -> int:
    """Print what was found; gives the exit code of the first thing that is wrong."""
    checks, code = in_app(settings, _examine)
    output.show({"checks": checks})
    return code


async def _examine(app: App) -> tuple[list[dict[str, Any]], int]:
    async def home() -> str:
        core = app.settings.core
        place = next(path for path in (core, *core.parents) if path.exists())
        if not os.access(place, os.W_OK):
            raise Configuration(f"{core} cannot be written", hint="Make it writable, or set OPENHUMAN_WORKSPACE.")
        return str(core)

    async def hosted_api() -> str:
        skew = await app.probe()
        if skew is not None and abs(skew) > TOLERATED_SKEW_SECONDS:
            raise Configuration(f"this machine's clock is {-skew:+.0f} s off", hint="Set the clock.")
        return f"{app.settings.base_url()} answers"

    async def credential() -> str:
        await app.call(ME, {})
        return f"{app.credential_source()}, taken by the hosted API"

    async def journal() -> str:
        return await app.journal_health()

    checks: dict[str, Callable[[], Awaitable[str]]] = {
        "home": home,
        "hosted API": hosted_api,
        "credential": credential,
        "journal": journal,
    }
    found = [
        {"check": "program", "ok": True, "found": f"openhuman-core {__version__}", "toDo": None},
        {"check": "interpreter", "ok": True, "found": f"Python {sys.version.split()[0]}", "toDo": None},
    ]
    code = DONE
    for name, look in checks.items():
        try:
            found.append({"check": name, "ok": True, "found": await look(), "toDo": None})
        except CoreError as failure:
            found.append({"check": name, "ok": False, "found": failure.message, "toDo": failure.data().get("hint")})
            code = code or EXIT_CODES[failure.kind]
    return found, code
