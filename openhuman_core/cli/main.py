"""The command line: `call` and `methods`, and the ways to start the daemon and the sandbox."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

import click

from openhuman_core import __version__, app
from openhuman_core import settings as configuration
from openhuman_core.errors import CoreError, InvalidParams
from openhuman_core.protocol import messages
from openhuman_core.runtime.builtins import BUILTINS
from openhuman_core.runtime.streams import Streams

PROGRAM = "openhuman-core"

# One for each class of failures that a script treats alike; 1 is a bug.
EXIT_CODES = {
    "parse_error": 2,
    "invalid_request": 2,
    "method_not_found": 2,
    "invalid_params": 2,
    "internal_error": 1,
    "shutting_down": 130,
    "unauthenticated": 4,
    "session_expired": 4,
    "api_key_rejected": 4,
    "forbidden": 5,
    "not_found": 6,
    "conflict": 7,
    "rejected": 3,
    "rate_limited": 11,
    "backend_unavailable": 10,
    "backend_timeout": 10,
    "bad_backend_response": 3,
    "outcome_unknown": 12,
    "configuration": 2,
}


def run(words: list[str]) -> int:
    """Run one command; gives the exit code."""
    try:
        code: int = cli.main(words, prog_name=PROGRAM, standalone_mode=False) or 0
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except click.Abort:
        return 130
    except CoreError as failure:
        click.echo(f"{PROGRAM}: {failure.kind}: {failure.message}", err=True)
        hint = failure.data().get("hint")
        if hint:
            click.echo(f"hint: {hint}", err=True)
        return EXIT_CODES[failure.kind]
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """OpenHuman's hosted API as one stable surface: plans, credits, payments and teams."""


@cli.command()
@click.argument("method")
@click.option("--params", default=None, metavar="JSON", help="The method's params as a JSON object.")
def call(method: str, params: str | None) -> None:
    """Call METHOD in this process and print its outcome as JSON.

    Example: openhuman-core call openhuman.billing_top_up --params '{"amountUsd": 25}'
    """
    import anyio  # noqa: PLC0415 - help has no use for it

    async def main() -> Any:
        core = app.App(configuration.load({}, os.environ))
        try:
            return await core.call(method, _params(params))
        finally:
            with anyio.CancelScope(shield=True):
                await core.aclose()

    outcome = anyio.run(main)
    click.echo(outcome if isinstance(outcome, bytes) else json.dumps(outcome))


@cli.command()
def methods() -> None:
    """List every method with its effect and what it does."""
    rows = [(name, "read", inspect.getdoc(handler) or "") for name, handler in BUILTINS.items()]
    rows += [(method.name, method.effect.value, method.summary) for method in app.registry().all()]
    width = max(len(name) for name, _, _ in rows)
    for name, effect, summary in rows:
        click.echo(f"{name:{width}}  {effect:6}  {summary}")


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Speak JSON-RPC 2.0 on stdin and stdout until the input ends."""
    if not {"-h", "--help"} & set(words):
        return app.serve(list(words), Streams())
    click.echo(f"Usage: {PROGRAM} serve [OPTIONS]\n\n  {ctx.command.help}\n\nOptions:")
    for flag, item in configuration.FLAGS.items():
        click.echo(f"  --{flag:24} {item.metadata['help']} [default: {item.default}]")
    return 0


cli.add_command(serve, "run")


@cli.command()
@click.option("--port", default=8787, type=click.IntRange(0, 65535), show_default=True, help="0 takes any free one.")
@click.option(
    "--state", default=None, type=click.Path(path_type=Path, dir_okay=False), help="File that keeps the data."
)
def sandbox(port: int, state: Path | None) -> None:
    """Serve a stand-in for the hosted API on this machine, for tests and for a browser."""
    import anyio  # noqa: PLC0415 - help has no use for it

    from openhuman_core.sandbox.server import serve as serve_sandbox  # noqa: PLC0415 - brings a web server

    anyio.run(serve_sandbox, port, state, click.echo)


def _params(text: str | None) -> Any:
    """Read the params as strictly as the wire does."""
    if text is None:
        return None
    params = messages.decode(text.encode(errors="surrogateescape"))
    if isinstance(params, messages.Malformed):
        raise InvalidParams("--params is not JSON")
    return params
