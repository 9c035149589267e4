"""The files that settings are read from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openhuman_core.errors import Configuration


def toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; one that is not there is empty. Raises `Configuration` for what does not parse."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        raise Configuration(f"{path} cannot be read") from problem
    import tomllib  # most homes have no such file, and start-up pays for each import

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise Configuration(f"{path} does not parse: {problem}") from problem


def named_dotenv(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the `.env` that `OPENHUMAN_DOTENV_PATH` names; raises `Configuration` where it cannot be read."""
    named = environ.get("OPENHUMAN_DOTENV_PATH")
    if not named:
        return {}
    if not os.access(named, os.R_OK) or not Path(named).is_file():
        raise Configuration(f"{named}: cannot be read", hint="OPENHUMAN_DOTENV_PATH must name a readable file.")
    return _variables(Path(named))


def found_dotenv(environ: Mapping[str, str]) -> tuple[Path | None, dict[str, str]]:
    """Find the nearest `.env` upwards, unless one was named, and read it; one that cannot be read is passed over."""
    if environ.get("OPENHUMAN_DOTENV_PATH"):
        return None, {}
    try:
        here = Path.cwd()
    except OSError:  # a directory that was removed under us has no `.env`
        return None, {}
    candidates = (directory / ".env" for directory in (here, *here.parents))
    found = next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113 - Path's may raise
    try:
        return found, _variables(found) if found else {}
    except Configuration:  # nobody named it
        return None, {}


def _variables(path: Path) -> dict[str, str]:
    import dotenv  # most directories have no such file, and start-up pays for each import

    try:
        return {name: value for name, value in dotenv.dotenv_values(path, interpolate=False).items() if value}
    except (OSError, UnicodeDecodeError) as problem:
        raise Configuration(f"{path}: cannot be read") from problem
