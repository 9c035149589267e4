"""What a command prints: JSON as it came, lines of it, a part of it, or a view for people."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import click

from openhuman_core.cli import exact
from openhuman_core.cli.text import harmless, say
from openhuman_core.protocol.messages import RawJson, outcome

NARROWEST = 10
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)")


@dataclass(frozen=True, slots=True)
class Output:
    """How the caller wants it; by default a view on a terminal, and JSON elsewhere."""

    json: bool = False
    jsonl: bool = False
    query: str | None = None
    envelope: bool = False
    verbose: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Output:
        """Read it of what click read."""
        names = ("json", "jsonl", "query", "envelope", "verbose")
        return cls(**{name: given[name] for name in names if name in given})

    def check(self) -> None:
        """Raise `click.UsageError` for what has no result to print, before anything is done that has one."""
        if sys.stdout is None:
            raise click.UsageError("stdout is closed")
        if self.query is not None:
            compiled(self.query)

    def show(self, payload: Any, logs: tuple[str, ...] = ()) -> None:
        """Print a payload, a value or `RawJson`, and nothing else, on stdout.

        Raises `QueryFailed`, and `OSError` where stdout cannot be written.
        """
        if self.envelope and not self.jsonl:
            payload = RawJson(b"".join(outcome(payload, logs)))
        if self.query is not None:
            payload = _part(self.query, payload)
        if self.jsonl:
            items = exact.decode(payload)
            put(b"".join(map(_one_line, items if isinstance(items, list) else [payload])))
        elif self.json or self.query or self.envelope or not sys.stdout.isatty() or _is_unreadable(payload):
            put(_one_line(payload))
        else:
            _print_view(payload)
        if self.verbose:
            for line in logs:
                say(harmless(line))


def put(data: bytes) -> None:
    """Write all of it to stdout, which may take a part at a time where Python does not buffer it; raises `OSError`."""
    sys.stdout.flush()
    left = memoryview(data)
    while left:
        count = sys.stdout.buffer.write(left)
        if count is None:  # it does not wait, and is full
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left = left[count:]
    sys.stdout.buffer.flush()


class QueryFailed(click.UsageError):
    """The expression of --query cannot be applied to the result."""


def compiled(query: str) -> Any:
    """Read a JMESPath expression; raises `click.UsageError` for what is none."""
    import jmespath  # few ask

    errors = jmespath.exceptions
    try:
        expression = jmespath.compile(query)
        with suppress(errors.JMESPathTypeError):  # nothing has no members; a function that is none fails here
            expression.search(None)
    except (errors.JMESPathError, RecursionError) as problem:
        raise click.UsageError(f"--query: {str(problem).partition(chr(10))[0]}") from problem
    return expression


def _is_unreadable(payload: Any) -> bool:
    return exact.decode(payload) is None and exact.encode(payload) != b"null"


def _part(query: str, payload: Any) -> RawJson:
    if _is_unreadable(payload):
        raise QueryFailed("--query cannot be applied: the result is nested deeper than can be read")
    try:
        return exact.encode(compiled(query).search(exact.decode(payload)))
    except (ValueError, RecursionError) as problem:  # JMESPath's own are among them
        raise QueryFailed(f"--query fails on the result: {str(problem).partition(chr(10))[0]}") from problem


def _one_line(value: Any) -> bytes:
    """Write JSON on one line; what a terminal would obey stands in strings only, and is escaped there."""
    text = bytes(exact.encode(value))
    return (text if text.isascii() and b"\x7f" not in text else harmless(text.decode()).encode()) + b"\n"


def _print_view(payload: Any) -> None:
    from rich.console import Console  # a terminal's library

    console = Console(markup=False, highlight=False, emoji=False)
    console.width = max(console.width, NARROWEST)  # less is a size that is not known, or not meant
    try:
        views = _views(exact.decode(payload), console.width)
    except RecursionError:  # from 3.12 on Python reads what is nested deeper than functions can be
        put(_one_line(payload))
        return
    for view in views:
        console.print(view, overflow="fold")


def _views(value: Any, width: int) -> list[Any]:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return _table([_flat(item) for item in value], width)
    if not isinstance(value, dict):
        return [_cell("", value)]
    lists = {
        name: item for name, item in value.items() if isinstance(item, list) and item and isinstance(item[0], dict)
    }
    rest = _flat({name: item for name, item in value.items() if name not in lists})
    views = [_pairs(rest)] if rest else []
    for name, item in lists.items():
        views += ["", f"{harmless(name)}:", *_views(item, width)]
    return views[1:] if views[:1] == [""] else views


def _table(rows: list[dict[str, Any]], width: int) -> list[Any]:
    """Make a table, or a list of key-value views where the terminal is too narrow for all of it."""
    from rich.cells import cell_len
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    columns = [max(map(cell_len, column)) for column in zip(map(harmless, names), *cells, strict=True)]
    if sum(columns) + 2 * len(columns) > width:
        return [view for row in rows for view in (_pairs(row), "")][:-1]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        values = [row[name] for row in rows if row.get(name) is not None]
        numbers = values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        table.add_column(harmless(name), overflow="fold", justify="right" if numbers else "left")
    for row in cells:
        table.add_row(*row)
    return [table]


def _pairs(row: dict[str, Any]) -> Any:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", overflow="fold")
    grid.add_column(overflow="fold")
    for name, value in row.items():
        grid.add_row(harmless(name), _cell(name, value))
    return grid


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name the members of inner objects by their path."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _cell(name: str, value: Any) -> str:
    """Word a value: money as money, times in local time, everything whole."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    with suppress(ValueError, ArithmeticError):  # no time, or one that no calendar has: it is shown as it is
        if isinstance(value, int | float) and name.endswith("Usd"):
            amount = Decimal(exact.encode(value).decode())
            return f"${amount:,.2f}" if amount == round(amount, 2) else f"${amount:,f}"
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    text = value if isinstance(value, str) else exact.encode(value, _readable).decode(errors="surrogatepass")
    return harmless(text)


def _readable(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
