"""What is known of commands before any is made: groups, the options that commands share, how help looks."""

from __future__ import annotations

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


def flag(name: str, text: str, *others: str) -> click.Option:
    """Make an option that is given or not."""
    return click.Option([name, *others], is_flag=True, help=text)


SETTING_OPTIONS: list[click.Parameter] = [
    click.Option(["--profile"], metavar="NAME", help="Use this profile's credential, base URL, journal and limits."),
    click.Option(["--backend-url"], metavar="URL", help="Ask this hosted API."),
    click.Option(["--audit"], metavar="FILE", help="Add a JSON line for each write to this file."),
]
SETTINGS = ("profile", "backend_url", "audit", "expect_user", "expect_team")
DRY_RUN = flag("--dry-run", "Show the request that would be made, and send nothing.")
YES = flag("--yes", "Go on without being asked.", "-y")
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
    flag("--json", "Print one JSON document, as it is done off a terminal."),
    flag("--jsonl", "Print a list as one JSON document a line."),
    click.Option(["--query"], metavar="EXPR", help="Print a part of the result (JMESPath)."),
    flag("--envelope", "Print the result with its log lines."),
    flag("--verbose", "Print the log lines on stderr.", "-v"),
]


def settings_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Read the options that are settings, of those that were given."""
    return {name: given[name] for name in SETTINGS if given.get(name) is not None}


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


class Group(click.Group):
    """The commands of one group."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, help=GROUPS[name], context_settings={"token_normalize_func": kebab})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return [*self._commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make a command, in whatever spelling it is asked for."""
        del ctx
        make = self._commands().get(kebab(cmd_name))
        return make() if make else None

    def _commands(self) -> Mapping[str, Callable[[], click.Command]]:
        from openhuman_core.cli.methods import commands  # help of the whole has no use for it

        return commands(str(self.name))
