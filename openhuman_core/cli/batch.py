"""Many calls from a file: each write under a key of its own, so that a run that was cut off can be started again."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import anyio
import click

from openhuman_core.app import App
from openhuman_core.cli.call import check_account, confirm, in_app, unexpected
from openhuman_core.cli.failures import DONE, PARTLY_FAILED
from openhuman_core.cli.options import params_of, value_of
from openhuman_core.cli.text import harmless, kebab
from openhuman_core.errors import CoreError, InvalidParams
from openhuman_core.protocol import messages
from openhuman_core.registry.method import Method
from openhuman_core.registry.registry import Registry

REPLAYED = "replayed: "
# How often something is said of the progress where no bar can be drawn.
SAY_EVERY_SECONDS = 10.0
# How many rows may be under way or done before the oldest of them is printed.
ROWS_AHEAD = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A bulk run: the file, `method` for a CSV file, and how it is to go; `rate` is in rows a second."""

    file: str
    method: str | None
    concurrency: int
    rate: float | None
    run: str | None
    yes: bool
    expect_user: str | None
    expect_team: str | None
    backend_url: str | None

    @property
    def name(self) -> str:
        """The name that keeps the keys of this run apart from those of others."""
        return self.run or (Path(self.file).name if self.file != "-" else "stdin")


@dataclass(slots=True)
class Row:
    """One row: its number from 1, what it asks for, or why it cannot be read."""

    number: int
    id: Any = None
    method: Method | None = None
    params: dict[str, Any] = field(default_factory=dict)
    failure: CoreError | None = None
    result: dict[str, Any] | None = None


@dataclass(slots=True)
class Tally:
    """What came of the rows so far, of `total`."""

    total: int
    done: int = 0
    replayed: int = 0
    failed: int = 0
    unknown: list[int] = field(default_factory=list)
    spoke: float = field(default_factory=time.monotonic)


def run_bulk(bulk: Bulk) -> int:
    """Make all calls and print a line for each; gives the exit code."""
    gc.enable()  # a long run makes garbage
    with _seekable(bulk.file) as source:
        return in_app(bulk.backend_url, lambda app: _run(app, bulk, source))


async def _run(app: App, bulk: Bulk, source: TextIO) -> int:
    total = _confirm(app.registry, bulk, source)
    await check_account(app, user=bulk.expect_user, team=bulk.expect_team, team_asked_for=bulk.expect_team)
    source.seek(0)
    tally = Tally(total)
    try:
        await _make_all(app, bulk, rows(app.registry, bulk, source), tally)
    except anyio.get_cancelled_exc_class():
        _summary(tally)
        raise
    return _summary(tally)


async def _make_all(app: App, bulk: Bulk, asked: Iterator[Row], tally: Tally) -> None:
    window: dict[int, Row] = {}  # rows that were begun and not printed yet
    slots, room = anyio.Semaphore(bulk.concurrency), anyio.Event()
    seen: Counter[bytes] = Counter()
    next_start = anyio.current_time()

    async def make(row: Row) -> None:
        nonlocal room
        row.result = await _result(app, row)
        slots.release()
        _print_ready(window, tally)
        room.set()
        room = anyio.Event()

    async with anyio.create_task_group() as tasks:
        for row in asked:
            if row.method is not None and row.method.writes:
                _give_key(bulk, row, seen)
            while len(window) >= ROWS_AHEAD:
                await room.wait()
            await slots.acquire()
            if bulk.rate is not None:
                await anyio.sleep_until(next_start)
                next_start = max(next_start, anyio.current_time()) + 1 / bulk.rate
            window[row.number] = row
            tasks.start_soon(make, row)


def rows(registry: Registry, bulk: Bulk, source: TextIO) -> Iterator[Row]:
    """Read the rows one at a time; one that cannot be read is a row all the same."""
    if bulk.method is not None:
        method = find(registry, bulk.method)
        params = {param.option: param for param in params_of(method)}
        for number, record in enumerate(csv.DictReader(source), 1):
            yield _csv_row(number, method, params, record)
    else:
        for number, line in enumerate((line for line in source if line.strip()), 1):
            yield _json_row(registry, number, line)


def find(registry: Registry, name: str) -> Method:
    """Look up a method by its wire name, or as `team.send_email_invite`; raises `MethodNotFound`."""
    namespace, _, function = name.removeprefix("openhuman.").partition(".")
    wire = f"openhuman.{namespace}_{function}" if function else f"openhuman.{namespace}"
    return registry.find(wire.replace("-", "_"))


def _json_row(registry: Registry, number: int, line: str) -> Row:
    row = Row(number)
    asked = messages.decode(line.encode(errors="surrogateescape"))
    try:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            raise InvalidParams("a row is an object with a method and params")
        row.id = asked.get("id")
        row.method = find(registry, asked["method"])
        if not isinstance(asked.get("params", {}), dict):
            raise InvalidParams("params of a row must be an object")
        row.params = dict(asked.get("params") or {})
    except CoreError as failure:
        row.failure = failure
    return row


def _csv_row(number: int, method: Method, params: dict[str, Any], record: dict[Any, Any]) -> Row:
    row = Row(number, method=method)
    try:
        for column, text in record.items():
            param = params.get(kebab(column)) if isinstance(column, str) else None
            if param is None:
                raise InvalidParams(f"the column {column} is no param of {method.name}")
            if text:
                row.params[param.name] = value_of(param, text)
    except CoreError as failure:
        row.failure = failure
    except click.UsageError as problem:
        row.failure = InvalidParams(problem.message)
    return row


def _give_key(bulk: Bulk, row: Row, seen: Counter[bytes]) -> None:
    """Name a write by the run, by what the row says, and by how often the run has said it before.

    One that is for another team than the expected one fails.
    """
    team = row.params.get("teamId")
    if bulk.expect_team is not None and team not in (None, bulk.expect_team):
        row.failure = unexpected("team", str(team), bulk.expect_team)
    said = json.dumps([row.method.name if row.method else None, row.params], sort_keys=True).encode()
    digest = hashlib.sha256(said).digest()
    seen[digest] += 1
    name = hashlib.sha256(f"{bulk.name}\n{digest.hex()}\n{seen[digest]}".encode()).hexdigest()
    row.params.setdefault("idempotencyKey", f"batch-{name[:40]}")


async def _result(app: App, row: Row) -> dict[str, Any]:
    told = {"row": row.number, **({"id": row.id} if row.id is not None else {})}
    try:
        if row.failure is not None or row.method is None:
            raise row.failure or InvalidParams("a row needs a method")
        outcome = await app.call(row.method.name, row.params)
    except CoreError as failure:
        key = {"idempotencyKey": row.params["idempotencyKey"]} if failure.kind == "outcome_unknown" else {}
        return {
            **told,
            "ok": False,
            "error": {"code": failure.code, "message": failure.message, **failure.data()},
            **key,
        }
    replayed = any(line.startswith(REPLAYED) for line in outcome.logs)
    return {**told, "ok": True, "replayed": replayed, "result": json.loads(messages.encode(outcome.value))}


def _print_ready(window: dict[int, Row], tally: Tally) -> None:
    """Print the rows at the head of the window that are done, in their order."""
    for number, row in [*window.items()]:
        if row.result is None:
            break
        del window[number]
        tally.done += 1
        tally.replayed += bool(row.result.get("replayed"))
        tally.failed += not row.result["ok"]
        if row.result.get("error", {}).get("kind") == "outcome_unknown":
            tally.unknown.append(number)
        sys.stdout.write(json.dumps(row.result) + "\n")
    sys.stdout.flush()
    _say_progress(tally)


def _say_progress(tally: Tally) -> None:
    if sys.stderr.isatty():
        width = 30
        filled = width * tally.done // max(tally.total, 1)
        click.echo(f"\r[{'#' * filled}{'-' * (width - filled)}] {tally.done}/{tally.total}", err=True, nl=False)
    elif time.monotonic() - tally.spoke >= SAY_EVERY_SECONDS:
        tally.spoke = time.monotonic()
        click.echo(f"{tally.done} of {tally.total} rows done, {tally.failed} failed", err=True)


def _summary(tally: Tally) -> int:
    if sys.stderr.isatty():
        click.echo("", err=True)
    click.echo(
        f"{tally.done} rows: {tally.done - tally.failed} done, {tally.replayed} of them before, {tally.failed} failed",
        err=True,
    )
    if tally.unknown:
        click.echo(
            f"The outcome of rows {', '.join(map(str, tally.unknown))} is unknown: see `help idempotency`", err=True
        )
    return PARTLY_FAILED if tally.failed else DONE


def _confirm(registry: Registry, bulk: Bulk, source: TextIO) -> int:
    """Read the file once, and ask about what asks first; gives the number of rows."""
    asking: Counter[str] = Counter()
    total = 0
    for row in rows(registry, bulk, source):
        total += 1
        if row.method is not None and row.failure is None and row.method.asks_first:
            asking[row.method.name] += 1
    if asking:
        what = ", ".join(f"{count} x {name}" for name, count in asking.items())
        confirm(harmless(f"{bulk.name} holds {what}"), yes=bulk.yes)
    return total


def _seekable(file: str) -> TextIO:
    """Open the file, or keep what stdin holds in one that is gone afterwards."""
    if file != "-":
        try:
            return Path(file).open(encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as problem:
            raise click.UsageError(f"{file} cannot be read") from problem
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its wrapper
    shutil.copyfileobj(sys.stdin.buffer, kept)
    kept.seek(0)
    return io.TextIOWrapper(kept, encoding="utf-8", errors="surrogateescape", newline="")
