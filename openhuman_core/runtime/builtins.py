"""core.* and rpc.discover: answered inline, without a credential and never over the network."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from typing_extensions import TypedDict

from openhuman_core import __version__
from openhuman_core.errors import Configuration
from openhuman_core.runtime import policy
from openhuman_core.runtime.discovery import Discovery
from openhuman_core.settings import Settings


class Vitals:
    """What a session counts of itself."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.draining = False
        self.in_flight = self.queued = self.answered = 0
        self.errors: Counter[str] = Counter()


class Program(NamedTuple):
    """What a built-in may see: the description, the settings, the counts, and the way to begin the drain."""

    discovery: Discovery
    settings: Settings
    vitals: Vitals
    shut_down: Callable[[], None]


class Ok(TypedDict):
    """Nothing but that it was done."""

    ok: bool


class Version(TypedDict):
    """The version of this program, as in Semantic Versioning."""

    version: str


class Health(TypedDict):
    """How the program is; counts are since its start."""

    status: Literal["ok", "draining"]
    uptimeSeconds: float
    inFlight: int
    queued: int
    answered: int
    errors: dict[str, int]
    residentBytes: int
    version: str
    python: str
    profile: str
    baseUrl: str | None
    policy: dict[str, Any]


def ping(_: Program) -> Ok:
    """Answer that the program is there; any params are ignored."""
    return {"ok": True}


def version(_: Program) -> Version:
    """Give the program's version; any params are ignored."""
    return {"version": __version__}


def health(program: Program) -> Health:
    """Tell how the program is."""
    vitals = program.vitals
    try:
        base_url = program.settings.base_url()
    except Configuration:
        base_url = None
    return {
        "status": "draining" if vitals.draining else "ok",
        "uptimeSeconds": round(time.monotonic() - vitals.started, 3),
        "inFlight": vitals.in_flight,
        "queued": vitals.queued,
        "answered": vitals.answered,
        "errors": dict(vitals.errors),
        "residentBytes": _resident_bytes(),
        "version": __version__,
        "python": sys.version.split()[0],
        "profile": program.settings.profile,
        "baseUrl": base_url,
        "policy": policy.shown(program.settings),
    }


def shutdown(program: Program) -> Ok:
    """Stop taking calls, finish those that were accepted, and end."""
    program.shut_down()
    return {"ok": True}


def discover(program: Program) -> dict[str, Any]:
    """Give this document: every method with its params, result, errors, route, effect and auth."""
    return program.discovery.make()  # type: ignore[return-value]  # as text


DISCOVER = "rpc.discover"
BUILTINS: Mapping[str, Callable[[Program], Any]] = {
    "core.ping": ping,
    "core.version": version,
    "core.health": health,
    "core.shutdown": shutdown,
    DISCOVER: discover,
}
# Liveness checks take what their callers send and ignore it.
ANY_PARAMS = ("core.ping", "core.version")


def call_builtin(name: str, params: Any, program: Program) -> Any:
    """Give the bare result of a built-in; raises `InvalidParams`."""
    if name not in ANY_PARAMS and params is not None and params != {}:
        from openhuman_core.registry.params import NoParams, ReadOptions, check  # brings pydantic

        check(NoParams, ReadOptions, params, name)
    return BUILTINS[name](program)


def _resident_bytes() -> int:
    """Read the resident memory of this process, where the system tells it under /proc; its peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource  # there is none on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
