"""Many calls from a file: each write under a key of its own, so that a run that was cut off can be started again."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import anyio
import click

from openhuman_core.app import App
from openhuman_core.backend.route import Effect
from openhuman_core.cli.asking import confirm
from openhuman_core.cli.call import in_app, loaded, who_is
from openhuman_core.cli.failures import DONE, PARTLY_FAILED, error_of
from openhuman_core.cli.output import put
from openhuman_core.cli.rows import Row, kept, rows
from openhuman_core.cli.text import STDOUT, discard, harmless, say
from openhuman_core.errors import CoreError, InvalidParams
from openhuman_core.protocol import messages
from openhuman_core.registry.method import Method
from openhuman_core.registry.params import check
from openhuman_core.registry.registry import Registry
from openhuman_core.runtime.failures import for_caller
from openhuman_core.runtime.records import REPLAYED, plain

BAR_WIDTH, WIDEST_BAR = 30, 60  # the second with its brackets and the counts behind them
# How often something is said of the progress where no bar can be drawn.
SAY_EVERY_SECONDS = 10.0
# How many rows may be under way or done before the oldest of them is printed.
ROWS_AHEAD = 256
SLOWEST, FASTEST = 0.001, 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A bulk run: the file, `method` for a CSV file, and how it is to go.

    `rate` is in rows a second; `settings` are those that were given as options.
    """

    file: str
    method: str | None
    concurrency: int
    rate: float | None
    run: str | None
    yes: bool
    dry_run: bool
    settings: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name that keeps the keys of this run apart from those of others."""
        return self.run or (Path(self.file).name if self.file != "-" else "stdin")


@dataclass(slots=True)
class Survey:
    """What a file holds: how many rows, and of those that ask first how many of each method, and the USD of all."""

    rows: int = 0
    asking: Counter[str] = field(default_factory=Counter)
    usd: float = 0
    pays: bool = False
    writes_in_active_team: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a row, and the line that is printed for it."""

    line: bytes
    failed: bool = False
    unknown: bool = False
    replayed: bool = False


@dataclass(slots=True)
class Tally:
    """What came of the rows of a run so far, of `total`."""

    name: str
    total: int
    done: int = 0
    replayed: int = 0
    failed: int = 0
    unknown: list[int] = field(default_factory=list)
    lost: str = ""  # why stdout can no longer be written
    spoke: float = field(default_factory=time.monotonic)


def run_bulk(bulk: Bulk) -> int:
    """Make all calls and print a line for each; gives the exit code. Raises `OSError` where stdout is closed."""
    if bulk.rate is not None and not SLOWEST <= bulk.rate <= FASTEST:  # a range of click's would let NaN pass
        raise click.UsageError(f"--rate is not between {SLOWEST:g} and {FASTEST:g}")
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    gc.enable()  # a long run makes garbage
    with kept(bulk.file) as source:
        return in_app(loaded(bulk.settings), lambda app: _run(app, bulk, source))


async def _run(app: App, bulk: Bulk, source: TextIO) -> int:
    survey = _survey(app.registry, bulk, source)
    if not bulk.dry_run:
        if survey.asking:
            confirm(_described(app, bulk, survey), yes=bulk.yes, pays=survey.pays)
        try:  # rows that name a team are compared with it one by one; the others act in the active one
            await app.check_account(None if survey.writes_in_active_team else app.settings.expect_team)
        except CoreError as failure:
            failure.facts |= {"moneyMoved": "no"} if survey.pays else {}
            raise
    source.seek(0)
    tally = Tally(harmless(bulk.name), survey.rows)
    try:
        async with anyio.create_task_group() as beside:
            beside.start_soon(_say_at_times, tally)
            await _make_all(app, bulk, rows(app.registry, bulk.method, source), tally)
            beside.cancel_scope.cancel()
    except anyio.get_cancelled_exc_class():
        _summary(tally)
        raise
    return _summary(tally)


def _survey(registry: Registry, bulk: Bulk, source: TextIO) -> Survey:
    """Read the file once, before anything is made of it."""
    found = Survey()
    for row in rows(registry, bulk.method, source):
        found.rows += 1
        if row.method is None or row.failure is not None:
            continue
        found.writes_in_active_team |= row.method.writes and not row.params.get("teamId")
        if row.method.asks_first:
            found.asking[row.method.name] += 1
            found.pays |= row.method.effect is Effect.MONEY
            amount = row.params.get(row.method.spends or "")
            if isinstance(amount, int | float) and not isinstance(amount, bool) and 0 < amount <= sys.float_info.max:
                found.usd += amount
    return found


def _described(app: App, bulk: Bulk, survey: Survey) -> str:
    """Say what a run holds, for whom and where; raises the `CoreError`s of calls without a credential."""
    credential = app.backend().credentials.require(since=time.perf_counter())
    what = ", ".join(f"{count} x {name}" for name, count in survey.asking.items())
    amount = f" of {survey.usd:,.2f} USD" if survey.usd else ""
    who = who_is(credential.account())
    return harmless(f"{bulk.name} holds {what}{amount}, as {who}, at {app.settings.base_url()}")


async def _make_all(app: App, bulk: Bulk, asked: Iterator[Row], tally: Tally) -> None:
    window: dict[int, Result | None] = {}  # what came of the rows that were begun and not printed yet
    slots, room = anyio.Semaphore(bulk.concurrency), anyio.Event()
    seen: Counter[bytes] = Counter()
    next_start = anyio.current_time()

    async def make(row: Row) -> None:
        nonlocal room
        window[row.number] = await _result(app, row, dry_run=bulk.dry_run)
        slots.release()
        _print_ready(window, tally)
        room.set()
        room = anyio.Event()

    async with anyio.create_task_group() as tasks:
        for row in asked:
            _give_key(bulk, row, seen)
            while len(window) >= ROWS_AHEAD:
                await room.wait()
            await slots.acquire()
            if bulk.rate is not None:
                await anyio.sleep_until(next_start)
                next_start = max(next_start, anyio.current_time()) + 1 / bulk.rate
            if tally.lost:
                break
            window[row.number] = None
            tasks.start_soon(make, row)


def _give_key(bulk: Bulk, row: Row, seen: Counter[bytes]) -> None:
    """Name a write by the run, by what the row means, and by how often the run has said it before."""
    if row.method is None or not row.method.writes or row.failure or row.params.get("idempotencyKey"):
        return
    said = json.dumps([row.method.name, plain(_meant(row.method, row.params))], sort_keys=True).encode()
    digest = hashlib.sha256(said).digest()
    seen[digest] += 1
    name = f"{bulk.name}\n{digest.hex()}\n{seen[digest]}".encode(errors="surrogateescape")
    row.params["idempotencyKey"] = f"batch-{hashlib.sha256(name).hexdigest()[:40]}"


def _meant(method: Method, params: dict[str, Any]) -> dict[str, Any]:
    """Give the params as they are sent, after trimming and defaults; as they stand where they are not valid."""
    try:
        return check(method.params, method.options, params, method.name)[0].wire()
    except InvalidParams:
        return params


async def _result(app: App, row: Row, *, dry_run: bool) -> Result:
    head = {"row": row.number, **({"id": row.id} if row.id is not None else {})}
    try:
        if row.method is None:
            raise row.failure or InvalidParams("a row needs a method")
        if row.failure is not None:
            raise for_caller(row.failure, row.method)
        if dry_run:
            plan = app.plan(row.method.name, row.params)
            return Result(line=messages.encode({**head, "ok": True, "dryRun": True, **plan}))
        outcome = await app.call(row.method.name, row.params)
    except CoreError as failure:
        error = error_of(failure)
        unknown = failure.kind == "outcome_unknown" or error.get("effect") == "unknown"
        key = {"idempotencyKey": row.params.get("idempotencyKey")} if unknown else {}
        return Result(failed=True, unknown=unknown, line=messages.encode({**head, "ok": False, "error": error, **key}))
    replayed = REPLAYED in outcome.logs
    made = messages.encode({**head, "ok": True, "replayed": replayed})
    return Result(replayed=replayed, line=b'%b,"result":%b}' % (made[:-1], messages.encode(outcome.value)))


def _print_ready(window: dict[int, Result | None], tally: Tally) -> None:
    """Print the rows at the head of the window that are done, in their order."""
    for number, result in [*window.items()]:
        if result is None:
            break
        del window[number]
        tally.done += 1
        tally.replayed += result.replayed
        tally.failed += result.failed
        if result.unknown:
            tally.unknown.append(number)
        _print(result.line, tally)
    _say_progress(tally)


def _print(line: bytes, tally: Tally) -> None:
    """Print a line; where it cannot be, what was begun ends all the same, and what it gives goes nowhere."""
    if _draws() and sys.stdout.isatty():
        say(f"\r{'':{WIDEST_BAR}}\r", nl=False)  # it stands where the line is to be
    try:
        put(line + b"\n")
    except OSError as problem:
        tally.lost = str(problem.strerror)
        discard(STDOUT)


async def _say_at_times(tally: Tally) -> None:
    while True:
        await anyio.sleep(SAY_EVERY_SECONDS)
        _say_progress(tally)


def _say_progress(tally: Tally) -> None:
    if _draws():
        filled = BAR_WIDTH * tally.done // max(tally.total, 1)
        say(f"\r[{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {tally.done}/{tally.total}", nl=False)
    elif time.monotonic() - tally.spoke >= SAY_EVERY_SECONDS:
        tally.spoke = time.monotonic()
        say(f"{tally.done} of {tally.total} rows done, {tally.failed} failed")


def _draws() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _summary(tally: Tally) -> int:
    if _draws():
        say("")
    count = f"{tally.done - tally.failed} done, {tally.replayed} of them before, {tally.failed} failed"
    say(f"{tally.done} rows of run {tally.name}: {count}")
    if tally.unknown:
        say(f"The outcome of rows {', '.join(map(str, tally.unknown))} is unknown: see `help idempotency`")
    if tally.lost:
        say(f"The output cannot be written ({tally.lost}): {tally.total - tally.done} rows were not begun")
    return PARTLY_FAILED if tally.failed or tally.lost else DONE
