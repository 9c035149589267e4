"""The rows of a bulk run's file: JSON lines, or CSV for one method; one that cannot be read fails by itself."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TextIO

import click

from openhuman_core.cli.options import decode, params_of, parse
from openhuman_core.cli.text import kebab
from openhuman_core.errors import CoreError, InvalidParams
from openhuman_core.protocol import messages
from openhuman_core.registry.method import Method
from openhuman_core.registry.registry import Registry

MEMBERS = ("id", "method", "params")


@dataclass(slots=True)
class Row:
    """One row: the number of its first line, what it asks for, or why it cannot be read."""

    number: int
    id: Any = None
    method: Method | None = None
    params: dict[str, Any] = field(default_factory=dict)
    failure: CoreError | None = None


def rows(registry: Registry, name: str | None, source: TextIO) -> Iterator[Row]:
    """Read the rows one at a time, of CSV where a method is named; one that cannot be read is a row all the same."""
    return _json_rows(registry, source) if name is None else _csv_rows(find(registry, name), source)


def find(registry: Registry, name: str) -> Method:
    """Look up a method by its wire name, or as `team.send_email_invite`; raises `MethodNotFound`."""
    namespace, _, function = name.removeprefix("openhuman.").partition(".")
    wire = f"openhuman.{namespace}_{function}" if function else f"openhuman.{namespace}"
    return registry.find(wire.replace("-", "_"))


def _json_rows(registry: Registry, source: TextIO) -> Iterator[Row]:
    for number, line in enumerate(source, 1):
        if line.strip():
            yield _json_row(registry, number, line)


def _json_row(registry: Registry, number: int, line: str) -> Row:
    row = Row(number)
    asked = decode(line)
    try:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            raise InvalidParams("a row is an object with a method and params")
        if not messages.is_id(asked.get("id")):
            raise InvalidParams("the id of a row must be a string or a number")
        row.id = asked.get("id")
        if unknown := sorted(asked.keys() - MEMBERS):
            raise InvalidParams(f"a row has no member '{unknown[0]}': only {', '.join(MEMBERS)}")
        row.method = find(registry, asked["method"])
        params = asked.get("params")
        if not isinstance(params, dict | None):
            raise InvalidParams("params of a row must be an object")
        row.params = params or {}
    except CoreError as failure:
        row.failure = failure
    return row


def _csv_rows(method: Method, source: TextIO) -> Iterator[Row]:
    params = {param.option: param for param in params_of(method)}
    csv.field_size_limit(2**31 - 1)  # cells of any length
    reader = csv.reader(source, strict=True)  # or a quote that is not closed would take the rest into one cell
    number = 1
    try:
        columns = [kebab(name) for name in next(reader, [])]
        if len(set(columns)) < len(columns):
            raise click.UsageError("two columns of the file have the same name")
        for place, column in enumerate(columns, 1):
            if column not in params:  # it is not repeated: where the first row is missing it is somebody's data
                names = ", ".join(params)
                raise click.UsageError(
                    f"column {place} is no param of {method.name}; the first row names them: {names}"
                )
        number = reader.line_num + 1
        for cells in reader:
            if cells:
                yield _csv_row(Row(number, method=method), params, zip_longest(columns, cells))
            number = reader.line_num + 1
    except csv.Error as problem:
        yield Row(number, failure=InvalidParams(f"the file is no CSV from here on: {problem}"))


def _csv_row(row: Row, params: dict[str, Any], record: Iterable[tuple[str | None, str | None]]) -> Row:
    try:
        for column, text in record:
            if column is None:
                raise InvalidParams("there are more cells than columns")
            if text:
                row.params[params[column].name] = parse(params[column], text)
    except (CoreError, click.UsageError) as problem:
        row.failure = InvalidParams(problem.message) if isinstance(problem, click.UsageError) else problem
    return row


def kept(file: str) -> TextIO:
    """Keep what the file, `-` for stdin, holds now, in one that is gone afterwards; raises `click.UsageError`.

    So what is asked about is what is made, whatever is written to the file meanwhile.
    """
    if file == "-" and sys.stdin is None:
        raise click.UsageError("stdin is closed")
    copy: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its wrapper
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as source:
            shutil.copyfileobj(source, copy)
        copy.seek(0)
    except OSError as problem:
        raise click.UsageError(f"{file} cannot be read: {problem.strerror}") from problem
    return io.TextIOWrapper(copy, encoding="utf-8-sig", errors="surrogateescape", newline="")
