"""Text that came from elsewhere, made safe for a terminal, what is said beside a result, and the spellings of names."""

from __future__ import annotations

import os
import re

import click

STDOUT, STDERR = 1, 2
# Controls of ASCII and Latin-1, line separators, and what turns the direction of text.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Escape what a terminal would obey instead of show."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str, *, nl: bool = True) -> None:
    """Say something on stderr, whoever reads it or not: no call and no bulk run fails of it."""
    try:
        click.echo(text, err=True, nl=nl)
    except (OSError, ValueError):  # nobody does, the disk is full, or it is closed
        discard(STDERR)


def discard(descriptor: int) -> None:
    """Let what is still to be written there go nowhere, or the end of the program would fail on it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def kebab(name: str) -> str:
    """Spell a name as options and commands are: `amountUsd`, `amount_usd` and `amount-usd` are one."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).replace("_", "-").lower()
