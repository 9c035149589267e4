"""What a command prints: JSON as it came, lines of it, a part of it, or a view for people."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import click

from openhuman_core.backend.envelope import read_json
from openhuman_core.cli.text import harmless
from openhuman_core.protocol.messages import encode, outcome

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

    def check(self) -> None:
        """Raise `click.UsageError` for a query that is none, before anything is done that has a result."""
        if self.query is not None:
            _compiled(self.query)

    def show(self, payload: Any, logs: tuple[str, ...] = ()) -> None:
        """Print a payload, a value or `RawJson`, and nothing else, on stdout.

        Raises `click.UsageError` for a query that is none, and `OSError` where stdout cannot be written.
        """
        if self.verbose:
            for line in logs:
                click.echo(harmless(line), err=True)
        if self.envelope and not self.jsonl:
            payload = outcome(payload, logs) if logs else payload
        if self.query is not None:
            payload = _compiled(self.query).search(value_of(payload))
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self.jsonl:
            text = b"".join(_one_line(item) for item in items_of(value_of(payload)))
        elif self.json or self.query or self.envelope or not sys.stdout.isatty():
            text = _one_line(payload)
        else:
            _print_view(value_of(payload))
            return
        sys.stdout.flush()
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


def value_of(payload: Any) -> Any:
    """Read a payload, a value or `RawJson`; a number that no float can hold stays text."""
    return read_json(encode(payload))


def items_of(payload: Any) -> list[Any]:
    """Give the items of a list, or of an object's only list; anything else is one item."""
    if isinstance(payload, dict):
        lists = [value for value in payload.values() if isinstance(value, list)]
        return lists[0] if len(lists) == 1 else [payload]
    return payload if isinstance(payload, list) else [payload]


def _one_line(value: Any) -> bytes:
    """Write JSON on one line; what a terminal would obey stands in strings only, and is escaped there."""
    text = bytes(encode(value))
    return (text if text.isascii() and b"\x7f" not in text else harmless(text.decode()).encode()) + b"\n"


def _compiled(query: str) -> Any:
    import jmespath  # noqa: PLC0415 - few ask

    try:
        return jmespath.compile(query)
    except jmespath.exceptions.JMESPathError as problem:
        raise click.UsageError(f"--query: {str(problem).splitlines()[0]}") from problem


def _print_view(value: Any) -> None:
    from rich.console import Console  # noqa: PLC0415 - a terminal's library

    console = Console(markup=False, highlight=False, emoji=False)
    if console.width < NARROWEST:  # a size that is not known, or not meant
        console = Console(markup=False, highlight=False, emoji=False, width=NARROWEST)
    for view in _views(value, console.width):
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
    from rich.cells import cell_len  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above

    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    columns = [max(map(cell_len, column)) for column in zip(map(harmless, names), *cells, strict=True)]
    if sum(columns) + 2 * len(columns) > width:
        return [view for row in rows for view in (_pairs(row), "")][:-1]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        numbers = {type(row.get(name)) for row in rows} - {type(None)}
        table.add_column(
            harmless(name), overflow="fold", justify="right" if numbers and numbers <= {int, float} else "left"
        )
    for row in cells:
        table.add_row(*row)
    return [table]


def _pairs(row: dict[str, Any]) -> Any:
    from rich.table import Table  # noqa: PLC0415 - see above

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
            amount = Decimal(str(value))
            return f"${amount:,.2f}" if amount == round(amount, 2) else f"${amount:,f}"
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return harmless(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
