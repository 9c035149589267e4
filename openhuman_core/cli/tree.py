"""Every method as a command: groups and commands made from the registry when they are asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import click

from openhuman_core.cli.text import kebab

# What help says of a group before anything of it is loaded.
GROUPS: Mapping[str, str] = {
    "auth": "Sign in and out, and see as whom calls are made.",
    "billing": "Plans, credits, cards, coupons and payments of an account.",
    "team": "Teams, their members, invites and billing.",
    "api-keys": "API keys and what they may spend.",
    "budgets": "Budgets and the seats that share them.",
    "spend-caps": "Limits on what an account may spend.",
    "referral": "Referrals: what they brought, and claiming one.",
    "journal": "What became of the idempotency keys of this home.",
    "core": "This program itself.",
    "rpc": "The description of every method.",
}
# What some methods can do beside the call, as flags that only they have.
OPENS = ("top_up", "purchase_plan", "create_coinbase_charge", "create_portal_session", "create_billing_portal")
# What the wire's hints name that is typed otherwise; any other method is typed as its group and its name.
_TYPED = {
    "openhuman.auth_store_session": "`openhuman-core auth login`",
    "Call rpc.discover": "Run `openhuman-core methods`",
    ", or call a method that rpc.discover does not show as denied": "",
    "--max-spend-usd": "OPENHUMAN_MAX_SPEND_USD",
    "timeoutMs": "--timeout-ms",
}
_METHOD = re.compile(rf"openhuman\.({'|'.join(group.replace('-', '_') for group in GROUPS)})_(\w+)")


def _flag(name: str, text: str, *others: str) -> click.Option:
    return click.Option([name, *others], is_flag=True, help=text)


SETTING_OPTIONS: list[click.Parameter] = [
    click.Option(["--profile"], metavar="NAME", help="Use this profile's credential, base URL, journal and limits."),
    click.Option(["--backend-url"], metavar="URL", help="Ask this hosted API."),
    click.Option(["--audit"], metavar="FILE", help="Add a JSON line for each write to this file."),
]
SETTINGS = ("profile", "backend_url", "audit", "expect_user", "expect_team")
DRY_RUN = _flag("--dry-run", "Show the request that would be made, and send nothing.")
YES = _flag("--yes", "Go on without being asked.", "-y")
# Whether, as whom and where calls are made.
MANNER_OPTIONS: list[click.Parameter] = [
    *SETTING_OPTIONS,
    DRY_RUN,
    YES,
    click.Option(["--expect-user"], metavar="ID", help="Write only as this user."),
    click.Option(["--expect-team"], metavar="ID", help="Write only in this team."),
]
# How a result is printed.
OUTPUT_OPTIONS: list[click.Parameter] = [
    _flag("--json", "Print one JSON document, as it is done off a terminal."),
    _flag("--jsonl", "Print a list as one JSON document a line."),
    click.Option(["--query"], metavar="EXPR", help="Print a part of the result (JMESPath)."),
    _flag("--envelope", "Print the result with its log lines."),
    _flag("--verbose", "Print the log lines on stderr.", "-v"),
]


def as_typed(hint: str) -> str:
    """Word a hint of the wire for somebody at a command line."""
    for said, typed in _TYPED.items():
        hint = hint.replace(said, typed)
    return _METHOD.sub(lambda found: f"`openhuman-core {kebab(found[1])} {kebab(found[2])}`", hint)


class Command(click.Command):
    """A command whose help begins with an example: its epilog, or the command as it is."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, example, text and options."""
        self.epilog = self.epilog or example(ctx.command_path)
        self.format_usage(ctx, formatter)
        self.format_epilog(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)


def example(words: str) -> str:
    """Make an epilog of a command line, which is not wrapped."""
    return f"\b\nExample:\n  {words}"


class MethodGroup(click.Group):
    """The methods of one namespace, as commands; `extra` are commands that are no methods."""

    def __init__(self, name: str, extra: Callable[[], Mapping[str, click.Command]] = dict) -> None:
        super().__init__(name=name, help=GROUPS[name], context_settings={"token_normalize_func": kebab})
        self._extra = extra

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return [*self._extra(), *self._methods()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make a command, in whatever spelling it is asked for."""
        del ctx
        name = kebab(cmd_name)
        extra = self._extra().get(name)
        method = self._methods().get(name)
        return extra or (method_command(name, method) if method else None)

    def _methods(self) -> Mapping[str, Any]:
        from openhuman_core.app import registry  # noqa: PLC0415 - help of the whole has no use for it
        from openhuman_core.runtime.builtins import BUILTINS  # noqa: PLC0415 - see above

        prefix = f"{self.name}."
        if builtins := {name.removeprefix(prefix): name for name in BUILTINS if name.startswith(prefix)}:
            return builtins
        namespace = f"openhuman.{str(self.name).replace('-', '_')}_"
        return {kebab(method.function): method for method in registry().namespace(namespace)}


def method_command(name: str, method: Any) -> click.Command:
    """Make the command of a method, or of the built-in that is named."""
    if isinstance(method, str):
        return _builtin_command(name, method)
    from openhuman_core.cli.call import perform  # noqa: PLC0415 - see above
    from openhuman_core.cli.options import gather, options_for, params_of  # noqa: PLC0415 - see above

    params = params_of(method)

    def run(**given: Any) -> int:
        return perform(method.name, gather(params, given), manner_of(given))

    own = [option for param in params for option in options_for(param)]
    return Command(
        name,
        callback=run,
        params=[*own, *common_options(method)],
        help=f"{method.summary}\n\n{_notes(method)}",
        epilog=example(_example(name, method, params)),
        short_help=method.summary,
        context_settings={"token_normalize_func": kebab},
    )


def common_options(method: Any) -> list[click.Parameter]:
    """Make the options that go with the call and not into it."""
    from openhuman_core.cli.call import pages  # noqa: PLC0415 - help of the whole has no use for it

    options = [*OUTPUT_OPTIONS, *MANNER_OPTIONS]
    if pages(method):
        options.append(_flag("--all", "Page through to the end."))
    if method.function in OPENS:
        options.append(_flag("--open", "Offer to open the link in a browser."))
    if method.function == "create_coinbase_charge":
        options.append(_flag("--wait", "Follow the payment: ends with 0 when it is paid, 8 when the time is up."))
    return options


def settings_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Read the options that are settings, of those that were given."""
    return {name: given[name] for name in SETTINGS if given.get(name) is not None}


def output_of(given: Mapping[str, Any]) -> Any:
    """Read the options that say how a result is printed."""
    from openhuman_core.cli.output import Output  # noqa: PLC0415 - help has no use for it

    names = ("json", "jsonl", "query", "envelope", "verbose")
    return Output(**{name: given[name] for name in names if name in given})


def manner_of(given: Mapping[str, Any]) -> Any:
    """Read the options that go with a call."""
    from openhuman_core.cli.call import Manner  # noqa: PLC0415 - help has no use for it

    names = ("yes", "dry_run", "all", "open", "wait")
    asked = {name: given[name] for name in names if name in given}
    return Manner(output=output_of(given), settings=settings_of(given), **asked)


def _builtin_command(name: str, method: str) -> click.Command:
    from openhuman_core.cli.call import perform  # noqa: PLC0415 - help of the whole has no use for it
    from openhuman_core.registry.method import summary_of  # noqa: PLC0415 - see above
    from openhuman_core.runtime.builtins import BUILTINS  # noqa: PLC0415 - see above

    return Command(
        name,
        callback=lambda **given: perform(method, None, manner_of(given)),
        params=[*OUTPUT_OPTIONS, YES],
        help=summary_of(BUILTINS[method]),
    )


def _example(name: str, method: Any, params: list[Any]) -> str:
    shown = {"integer": "7", "number": "25", "object": "@file.json", "boolean": None}
    words = ["openhuman-core", kebab(method.namespace.name), name]
    for param in params:
        if param.required and param.type == "secret":
            words.append(f"--{param.option}-stdin")
        elif param.required:
            words += [f"--{param.option}", shown.get(param.type) or param.option.upper()]
    return shlex.join(words)


def _notes(method: Any) -> str:
    notes = [f"It asks the hosted API by {method.route}." if method.route else "It asks the hosted API nothing."]
    if method.asks_first:
        notes.append("On a terminal it asks first; elsewhere it needs --yes.")
    if method.secret:
        notes.append("Its result holds a secret.")
    return " ".join(notes)
