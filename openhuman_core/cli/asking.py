"""Asking somebody at the terminal whether to go on."""

from __future__ import annotations

import os
import select
import signal
import sys

import click

from openhuman_core.cli.failures import ConfirmationRequired
from openhuman_core.errors import Cancelled
from openhuman_core.runtime import signals


def confirm(what: str, *, yes: bool, pays: bool) -> None:
    """Ask for a yes; raises `ConfirmationRequired` where there is none or nobody to ask, `Cancelled` for Ctrl-C."""
    if yes:
        return
    facts = {"moneyMoved": "no"} if pays else {}
    if not is_terminal():
        raise ConfirmationRequired(f"nobody can be asked here: {what}", **facts)
    try:
        goes_on = agreed(f"{what}\nGo on?")
    except (click.Abort, KeyboardInterrupt) as problem:
        raise Cancelled("interrupted", effect="not_sent", **facts) from problem
    if not goes_on:
        raise ConfirmationRequired(f"not confirmed: {what}", hint="Nothing was sent.", **facts)


def is_terminal() -> bool:
    """Tell whether somebody can be asked."""
    return sys.stdin is not None and sys.stderr is not None and sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Ask for y or n; raises `KeyboardInterrupt` for a stop, which an event loop hears too late, and `click.Abort`."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in signals.heard()}
    try:
        while True:
            click.echo(f"{question} [y/N]: ", nl=False, err=True)
            _wait_for_a_line()
            answer = sys.stdin.readline()
            if not answer:
                raise click.Abort
            if answer.strip().lower() in ("", "n", "no", "y", "yes"):
                return answer.strip().lower() in ("y", "yes")
            question = "Please say y or n:"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_a_line() -> None:
    """Wait until there is an answer to read; a signal that comes just before reading would not be heard by that."""
    if os.name != "posix":
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        select.select([sys.stdin, reader], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
