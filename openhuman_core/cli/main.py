"""The command line: what there is at the top, and how every command ends.

What only one command needs is imported when that command runs, so that help and the others need not wait for it.
"""

from __future__ import annotations

import errno
import gc
import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from openhuman_core import __version__
from openhuman_core.cli.failures import DONE, EXIT_CODES, PROGRAM, USAGE, OutputNotWritten, in_one_line
from openhuman_core.cli.text import STDOUT, discard, kebab, say
from openhuman_core.cli.topics import TOPICS
from openhuman_core.cli.tree import (
    GROUPS,
    MANNER_OPTIONS,
    OUTPUT_OPTIONS,
    SETTING_OPTIONS,
    SETTINGS,
    Command,
    Group,
    example,
    settings_of,
)
from openhuman_core.errors import Cancelled, Configuration, CoreError, InvalidParams

EXAMPLES = example("""openhuman-core auth login
  openhuman-core billing get-balance
  openhuman-core billing top-up --amount-usd 25 --gateway coinbase
  openhuman-core team change-member-role --team-id T --user-id U --role ADMIN
  openhuman-core help exit-codes""")
# Click repeats words that it did not expect, and a secret may be among them.
_ECHOED = re.compile(r"(unexpected extra arguments?) \(.*\)", re.DOTALL)
_NO_CHOICE = re.compile(r"'[^']*' is not one of")
_LONG_WORD = re.compile(r"(?<=')[^\s'/]{24,}(?=')|(?<=: )[^\s'/]{24,}$")
# Scripts may give it to every command; these have nothing to ask.
YES = click.Option(["--yes", "-y"], is_flag=True, expose_value=False, help="Go on without being asked.")


class _Top(Command, click.Group):
    command_class = Command


def run(words: list[str]) -> int:
    """Run one command; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):  # a locale that cannot show a character shows its code
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code: int = cli.main(words, prog_name=PROGRAM, standalone_mode=False) or DONE
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit:  # click's own end where whoever read has enough
        discard(STDOUT)
        return DONE
    except (BaseExceptionGroup, click.ClickException, click.Abort, CoreError, KeyboardInterrupt, OSError) as problem:
        return _ended(problem, as_json="--json" in map(kebab, words))
    return code


def _ended(problem: BaseException, *, as_json: bool) -> int:
    """Say on stderr how a command ended, and give its exit code; what is no failure but a bug is raised."""
    match problem:
        case BaseExceptionGroup():
            return _ended(problem.exceptions[0], as_json=as_json)
        case click.exceptions.NoArgsIsHelpError():
            say(problem.format_message())
            return USAGE
        case click.ClickException():
            command = problem.ctx.command_path if isinstance(problem, click.UsageError) and problem.ctx else PROGRAM
            text = _NO_CHOICE.sub("it is not one of", problem.format_message())
            text = _LONG_WORD.sub("…", _ECHOED.sub(r"\1", text))
            failure: CoreError = InvalidParams(text, hint=f"See {command} --help.")
        case CoreError():
            failure = problem
        case click.Abort() | KeyboardInterrupt():
            failure = Cancelled("interrupted")
        case BrokenPipeError():  # whoever read has enough
            discard(STDOUT)
            return DONE
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EIO | errno.EBADF):
            failure = OutputNotWritten(f"the output cannot be written: {problem.strerror}")
        case OSError():
            failure = Configuration(f"{problem.strerror or problem}")
        case _:
            raise problem
    if isinstance(failure, OutputNotWritten):
        discard(STDOUT)
    say(in_one_line(failure, as_json=as_json))
    return EXIT_CODES[failure.kind]


@click.group(
    cls=_Top, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": kebab}
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """OpenHuman's hosted API as one stable surface: plans, credits, payments and teams."""


for group in GROUPS:
    cli.add_command(Group(group))


@cli.command(
    params=[*OUTPUT_OPTIONS, *MANNER_OPTIONS],
    epilog=example("""openhuman-core call openhuman.billing_get_transactions --params '{"limit": 5}'"""),
)
@click.argument("method")
@click.option("--params", default=None, metavar="JSON|@FILE|-", help="The method's params as a JSON object.")
def call(method: str, params: str | None, **given: Any) -> int:
    """Call METHOD, by its name on the wire, and print its outcome as the wire has it."""
    from openhuman_core.cli.call import Manner, perform

    return perform(method, _params(method, params), Manner.of({**given, "envelope": True}))


@cli.command(params=[YES])
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def methods(*, as_json: bool) -> None:
    """List every method with its effect and what it does."""
    from openhuman_core.app import registry
    from openhuman_core.registry.method import summary_of
    from openhuman_core.runtime.builtins import BUILTINS

    rows = [{"method": name, "effect": "read", "summary": summary_of(handler)} for name, handler in BUILTINS.items()]
    rows += [{"method": m.name, "effect": m.effect.value, "summary": m.summary} for m in registry().all()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    width = max(len(row["method"]) for row in rows)
    for row in rows:
        click.echo(f"{row['method']:{width}}  {row['effect']:6}  {row['summary']}")


class _ServeCommand(Command):
    """Help for the daemon, which `__main__` starts; its options are the settings, read when somebody asks for them."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from openhuman_core.settings import FLAGS

        options: list[click.Parameter] = []
        for flag, item in FLAGS.items():
            text = f"{item.metadata['help']} [default: {item.default}]"
            options.append(click.Option([f"--{flag}"], is_flag=isinstance(item.default, bool), help=text))
        return [*options, *super().get_params(ctx)]


@cli.command(cls=_ServeCommand, epilog=example("openhuman-core serve --read-only"))
def serve(**_: Any) -> None:
    """Speak JSON-RPC 2.0 on stdin and stdout until the input ends."""
    raise click.UsageError("serve must be the first word")


cli.add_command(serve, "run")


@cli.command(params=[YES])
@click.option("--port", default=8787, type=click.IntRange(0, 65535), show_default=True, help="0 takes any free one.")
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), help="File that keeps the data.")
def sandbox(port: int, state: Path | None) -> None:
    """Serve a stand-in for the hosted API on this machine, for tests and for a browser."""
    import anyio

    from openhuman_core.sandbox.server import serve as serve_sandbox

    gc.enable()
    anyio.run(serve_sandbox, port, state, click.echo)


def _help_words(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    return [word for word in (*TOPICS, *cli.list_commands(ctx)) if word.startswith(begun)]


@cli.command("help", params=[YES], epilog=example("openhuman-core help exit-codes"))
@click.argument("words", nargs=-1, shell_complete=_help_words)
def help_command(words: tuple[str, ...]) -> None:
    """Explain a command, or one of: environment, exit-codes, idempotency, output."""
    topic = TOPICS.get(kebab(" ".join(words)))
    if topic is None:
        cli.main([*words, "--help"], prog_name=PROGRAM, standalone_mode=False)
    else:
        click.echo(topic)


@cli.command(params=[YES], epilog=example("source <(openhuman-core completion bash)"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands and options."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(cli, {}, PROGRAM, "_OPENHUMAN_CORE_COMPLETE").source())


@cli.command(params=[*SETTING_OPTIONS, *OUTPUT_OPTIONS, YES])
def doctor(**given: Any) -> int:
    """Look at what calls depend on, and say what to do where something is wrong."""
    from openhuman_core.cli.doctor import examine
    from openhuman_core.cli.output import Output

    return examine(Output.of(given), settings_of(given))


@cli.command(params=[*MANNER_OPTIONS], epilog=example("openhuman-core batch new.csv --method team.send_email_invite"))
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--method", default=None, metavar="NAME", help="The method of every row, as a CSV file needs it.")
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 100), help="Rows at the same time.")
@click.option("--rate", type=float, help="At most so many rows a second, 0.001 to 10000.")
@click.option("--run", default=None, metavar="NAME", help="Name of the run; by default that of the file.")
@click.option("--json", is_flag=True, expose_value=False, help="Tell a failure of the run itself as JSON.")
def batch(**given: Any) -> int:
    """Make a call of each row of FILE (`-` for stdin): JSON lines of {method, params, id?}, or CSV with --method.

    The same run started again does only what is missing. Results are JSON lines in the order of the rows.
    """
    from openhuman_core.cli.batch import Bulk, run_bulk

    asked = {name: value for name, value in given.items() if name not in SETTINGS}
    return run_bulk(Bulk(settings=settings_of(given), **asked))


def _params(method: str, text: str | None) -> Any:
    """Read the params as strictly as the wire does; raises `click.UsageError` for a secret that others can see."""
    from openhuman_core.cli.options import content, decode, secrets_of
    from openhuman_core.protocol.messages import Malformed

    if text is None:
        return None
    params = decode(content(text))
    if isinstance(params, Malformed):
        raise InvalidParams("--params is not JSON")
    if text[:1] not in ("-", "@") and isinstance(params, dict) and params.keys() & secrets_of(method):
        raise click.UsageError("a secret is no option: give --params @FILE, or - for stdin")
    return params
