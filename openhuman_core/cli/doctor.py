"""A look at everything that calls depend on, and what to do where something is wrong."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from openhuman_core import __version__, sources
from openhuman_core import settings as configuration
from openhuman_core.app import App
from openhuman_core.cli.call import ME, in_app, loaded
from openhuman_core.cli.failures import DONE, EXIT_CODES, error_of
from openhuman_core.cli.output import Output
from openhuman_core.errors import Configuration, CoreError
from openhuman_core.settings import Settings

# The hosted API's links and tokens carry times; a clock further off than this makes them look over.
TOLERATED_SKEW_SECONDS = 30.0


def examine(output: Output, options: Mapping[str, str]) -> int:
    """Print what was found; gives the exit code of the first thing that is wrong."""
    environ: Mapping[str, str] = os.environ
    problem = None
    try:
        environ = {**sources.named_dotenv(environ), **environ}
        settings = loaded(options, environ)
    except Configuration as failure:
        profile = configuration.profile_of(options, environ)
        problem, settings = failure, Settings(home=configuration.home_of(environ), profile=profile)
    checks, code = in_app(settings, lambda app: _examine(_Checks(app, problem)))
    output.show(checks if output.jsonl and output.query is None else {"checks": checks})
    return code


class _Checks:
    """What is looked at; `problem` says why the settings cannot be read, without which nothing is sent anywhere."""

    def __init__(self, app: App, problem: Configuration | None) -> None:
        self.app = app
        self.problem = problem

    async def settings(self) -> str:
        if self.problem is not None:
            raise self.problem
        return f"the environment and {self.app.settings.core / 'config.toml'} can be read"

    async def home(self) -> str:
        core = self.app.settings.core
        nearest = next(path for path in (core, *core.parents) if path.exists())
        if not os.access(nearest, os.W_OK):
            raise Configuration(f"{core} cannot be written", hint="Make it writable, or set OPENHUMAN_WORKSPACE.")
        return str(core)

    async def store(self) -> str:
        store = self.app.backend().credentials.store
        kept = " and ".join(f"{entry.kind} for {entry.base_url}" for entry in store.entries()) or "nothing"
        return f"{store.path} holds {kept}" + (f"; its key: {key_in}" if (key_in := store.key_in()) else "")

    async def base_url(self) -> str:
        if self.problem is not None:
            raise Configuration("not known while the settings cannot be read", hint="Mend the settings first.")
        return self.app.backend().base_url

    async def hosted_api(self) -> str:
        base_url = await self.base_url()
        skew = await self.app.backend().probe()
        if skew is not None and abs(skew) > TOLERATED_SKEW_SECONDS:
            raise Configuration(f"this machine's clock is {-skew:+.0f} s off", hint="Set the clock.")
        return f"{base_url} answers"

    async def credential(self) -> str:
        await self.base_url()
        await self.app.call(ME, {})
        credential = self.app.backend().credentials.require(since=time.perf_counter())
        return f"{credential.source}, taken by the hosted API"


async def _examine(checks: _Checks) -> tuple[list[dict[str, Any]], int]:
    looks: dict[str, Callable[[], Awaitable[str]]] = {
        "settings": checks.settings,
        "home": checks.home,
        "store": checks.store,
        "base URL": checks.base_url,
        "hosted API": checks.hosted_api,
        "credential": checks.credential,
        "journal": checks.app.journal_health,
    }
    found: list[dict[str, Any]] = [
        {"check": "program", "ok": True, "found": f"openhuman-core {__version__}", "toDo": None},
        {"check": "interpreter", "ok": True, "found": f"Python {platform.python_version()}", "toDo": None},
    ]
    code = DONE
    for name, look in looks.items():
        try:
            found.append({"check": name, "ok": True, "found": await look(), "toDo": None})
        except CoreError as failure:
            found.append({"check": name, "ok": False, "found": failure.message, "toDo": error_of(failure).get("hint")})
            code = code or EXIT_CODES[failure.kind]
    return found, code
