"""Signing in, looking at who is signed in, signing out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from openhuman_core.app import App
from openhuman_core.cli.call import Manner, account_of, in_app, loaded, perform
from openhuman_core.cli.failures import DONE, SIGN_IN
from openhuman_core.cli.options import Param, gather, options_for
from openhuman_core.cli.output import Output
from openhuman_core.cli.tree import DRY_RUN, OUTPUT_OPTIONS, SETTING_OPTIONS, YES, Command, settings_of
from openhuman_core.errors import CoreError
from openhuman_core.protocol.messages import encode

KIND = click.Option(
    ["--kind"], type=click.Choice(["session", "api-key"]), default="session", show_default=True, help="What it is."
)

STORE_KEY = "openhuman.auth_set_credential"
TOKEN = Param("token", "secret", "the session token, or the API key.", required=False)


def login(**given: Any) -> int:
    """Store a session token, verified with the hosted API, or an API key."""
    token = _token(given)
    if given["kind"] == "session":
        return perform("openhuman.auth_store_session", {"token": token}, Manner.of(given))
    params = {"token": token, "kind": "api-key"}
    if given["dry_run"]:
        return perform(STORE_KEY, params, Manner.of(given))

    async def store(app: App) -> Any:
        await app.call(STORE_KEY, params)
        return await _state(app)

    return _show(in_app(loaded(settings_of(given)), store), given)


def status(**given: Any) -> int:
    """Tell as whom calls are made: where the credential is from, its user and team, its end, its last characters."""
    return _show(in_app(loaded(settings_of(given)), _state), given)


def logout(**given: Any) -> int:
    """Forget every stored credential; those of the environment are not this program's to forget."""
    return perform("openhuman.auth_clear_credential", {}, Manner.of(given))


def _show(state: dict[str, Any], given: Mapping[str, Any]) -> int:
    """Print who is signed in; the exit code says whether anybody is: an API key is stored before it is tried."""
    Output.of(given).show(state)
    return DONE if state["isAuthenticated"] else SIGN_IN


async def _state(app: App) -> dict[str, Any]:
    """Say what is known here, and the user and team that the hosted API knows, as far as it answers."""
    state = json.loads(encode((await app.call("openhuman.auth_get_state", {})).value))
    credentials = app.backend().credentials
    credential = credentials.current()
    found = {
        "isAuthenticated": state["isAuthenticated"],
        "source": credential.source if credential else None,
        "profile": app.settings.profile,
        "store": credentials.store.key_in(),
        "storeFile": str(app.settings.core / "credentials.json"),
        "baseUrl": app.settings.base_url(),
        "kind": state["credential"],
        "lastFour": credential.last_four() if credential else None,
        "userId": state["userId"],
        "teamId": None,
        "expiresAt": state["expiresAt"],
        "problem": None,
    }
    if not state["isAuthenticated"]:
        return {**found, "problem": "the session is over" if credential else "no credential is stored or set"}
    try:
        user, team = await account_of(app)
    except CoreError as failure:
        refused = failure.kind in ("session_expired", "api_key_rejected")
        return {**found, "isAuthenticated": not refused, "problem": failure.message}
    return {**found, "userId": user or found["userId"], "teamId": team}


def _token(given: Mapping[str, Any]) -> str:
    """Read the token from where it is said to be, or ask for it."""
    read = gather([TOKEN], given)
    if TOKEN.name in read:
        return str(read[TOKEN.name])
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: give --token-stdin or --token-file PATH")
    what = "API key" if given["kind"] == "api-key" else "Session token"
    return str(click.prompt(what, hide_input=True, err=True)).strip()


def _command(callback: Any, *options: click.Parameter) -> click.Command:
    name, params = callback.__name__, [*options, *SETTING_OPTIONS, *OUTPUT_OPTIONS, YES]
    return Command(name, callback=callback, params=params, help=callback.__doc__)


COMMANDS: Mapping[str, Callable[[], click.Command]] = {
    "login": partial(_command, login, KIND, *options_for(TOKEN), DRY_RUN),
    "status": partial(_command, status),
    "logout": partial(_command, logout, DRY_RUN),
}
