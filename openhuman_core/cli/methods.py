"""Every method as a command, made when it is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from openhuman_core.app import registry
from openhuman_core.cli import auth
from openhuman_core.cli.call import Manner, pages, perform
from openhuman_core.cli.options import Param, gather, options_for, params_of
from openhuman_core.cli.text import kebab
from openhuman_core.cli.tree import MANNER_OPTIONS, OUTPUT_OPTIONS, YES, Command, example, flag
from openhuman_core.registry.method import Method, summary_of
from openhuman_core.runtime.builtins import BUILTINS

# Methods whose answers hold a link that can be opened.
OPENS = ("top_up", "purchase_plan", "create_coinbase_charge", "create_portal_session", "create_billing_portal")


def commands(group: str) -> Mapping[str, Callable[[], click.Command]]:
    """Give what makes the commands of a group, by their names."""
    prefix = f"{group}."
    builtins = [name for name in BUILTINS if name.startswith(prefix)]
    if builtins:
        return {name.removeprefix(prefix): partial(_builtin_command, name) for name in builtins}
    methods = registry().namespace(f"openhuman.{group.replace('-', '_')}_")
    own = {kebab(method.function): partial(_method_command, method) for method in methods}
    return {**(auth.COMMANDS if group == "auth" else {}), **own}


def _builtin_command(name: str) -> click.Command:
    return Command(
        name.partition(".")[2],
        callback=lambda **given: perform(name, None, Manner.of(given)),
        params=[*OUTPUT_OPTIONS, YES],
        help=summary_of(BUILTINS[name]),
    )


def _method_command(method: Method) -> click.Command:
    name, params = kebab(method.function), params_of(method)

    def run(**given: Any) -> int:
        return perform(method.name, gather(params, given), Manner.of(given))

    own = [option for param in params for option in options_for(param)]
    return Command(
        name,
        callback=run,
        params=[*own, *OUTPUT_OPTIONS, *MANNER_OPTIONS, *_extra_options(method)],
        help=f"{method.summary}\n\n{_notes(method)}",
        epilog=example(_example(name, method, params)),
        short_help=method.summary,
        context_settings={"token_normalize_func": kebab},
    )


def _extra_options(method: Method) -> list[click.Parameter]:
    """Make the flags of what can be done beside the call, which only some methods have."""
    options: list[click.Parameter] = []
    if pages(method):
        options.append(flag("--all", "Page through to the end."))
    if method.function in OPENS:
        options.append(flag("--open", "Offer to open the link in a browser."))
    if method.function == "create_coinbase_charge":
        options.append(flag("--wait", "Follow the payment: ends with 0 when it is paid, 8 when the time is up."))
    return options


def _example(name: str, method: Method, params: list[Param]) -> str:
    shown = {"integer": "7", "number": "25", "object": "@file.json", "boolean": None}
    words = ["openhuman-core", kebab(method.namespace.name), name]
    for param in params:
        if param.required and param.type == "secret":
            words.append(f"--{param.option}-stdin")
        elif param.required:
            words += [f"--{param.option}", shown.get(param.type) or param.option.upper()]
    return shlex.join(words)


def _notes(method: Method) -> str:
    notes = [f"It asks the hosted API by {method.route}." if method.route else "It asks the hosted API nothing."]
    if method.asks_first:
        notes.append("On a terminal it asks first; elsewhere it needs --yes.")
    if method.secret:
        notes.append("Its result holds a secret.")
    return " ".join(notes)
