"""One call as a command makes it: shown, confirmed, made, printed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_origin, get_type_hints

import anyio
import click
from typing_extensions import is_typeddict

from openhuman_core.app import App
from openhuman_core.backend.me import active_team_of, user_id_of
from openhuman_core.backend.route import Effect
from openhuman_core.cli import exact
from openhuman_core.cli.asking import agreed, confirm, is_terminal
from openhuman_core.cli.failures import DONE, INTERRUPTED, REFUSED, STILL_PENDING, OutputNotWritten
from openhuman_core.cli.output import Output, QueryFailed
from openhuman_core.cli.text import harmless, say
from openhuman_core.cli.tree import settings_of
from openhuman_core.errors import BadBackendResponse, Cancelled, CoreError
from openhuman_core.registry.method import Method
from openhuman_core.registry.outcome import RpcOutcome
from openhuman_core.runtime import logging, signals
from openhuman_core.runtime.builtins import BUILTINS
from openhuman_core.runtime.records import REPLAYED
from openhuman_core.settings import Settings, UsageError, load

ME = "openhuman.auth_get_me"
WAIT = "openhuman.billing_wait_for_payment"
# How a Coinbase charge can end, and what a script is told of it; any other state is still pending.
CHARGE_ENDS = {"COMPLETED": DONE, "OVERPAID": DONE, "UNDERPAID": REFUSED, "EXPIRED": REFUSED}
# Where an answer holds a link that somebody is to open.
LINKS = ("url", "checkoutUrl", "hostedUrl", "portalUrl")
LARGEST_PAGE = 100
# An account that has no name is a digest, of which so much is enough to tell it by.
LONGEST_NAME = 24

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a call is to be made, beside its params; `settings` are those that were given as options."""

    output: Output
    yes: bool = False
    dry_run: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    all: bool = False
    open: bool = False
    wait: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Manner:
        """Read it of what click read."""
        names = ("yes", "dry_run", "all", "open", "wait")
        asked = {name: given[name] for name in names if name in given}
        return cls(output=Output.of(given), settings=settings_of(given), **asked)


def pages(method: Method) -> bool:
    """Tell whether a method gives a list page by page."""
    return {"limit", "offset"} <= method.params.model_fields.keys()


def loaded(options: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Gather the settings, with those that were given as options before the environment's.

    Raises `Configuration`, and `click.UsageError` for an option's value.
    """
    try:
        return load(options, environ)
    except UsageError as problem:
        raise click.UsageError(str(problem)) from problem


def in_app(settings: Settings, work: Callable[[App], Awaitable[T]]) -> T:
    """Do `work` with the program that `settings` describe; raises what it raises.

    A signal that asks for an end cancels it, so that a call which has been sent still says what became of it. Those
    that follow change nothing, nor do any that come when it is done: what is left to do takes little time, and the exit
    code is to say what is printed. Raises `Cancelled` where there is no call to say so.
    """
    logging.configure("error", sys.stderr)
    logging.take_crashes()

    async def main() -> T:
        loop = asyncio.get_running_loop()
        async with App(settings) as app:
            with anyio.CancelScope() as working:

                def stop(*_: object) -> None:
                    with suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(working.cancel)

                for number in signals.heard():
                    signal.signal(number, stop)  # the event loop's own way would end with the loop
                return await work(app)
        raise Cancelled("interrupted")

    return anyio.run(main)


def perform(name: str, params: Any, manner: Manner) -> int:
    """Call the method of that name on the wire and print what comes of it; gives the exit code, raises `CoreError`."""
    return in_app(loaded(manner.settings), lambda app: _perform(app, name, params, manner))


async def _perform(app: App, name: str, params: Any, manner: Manner) -> int:
    if name in BUILTINS:
        manner.output.show((await app.call(name, params)).value)
        return DONE
    method = app.registry.find(name)
    params = {} if params is None else params
    manner.output.check()
    if not isinstance(params, dict):
        app.plan(name, params)  # says why they are no params
    if manner.dry_run:
        manner.output.show({"dryRun": True, **app.plan(method.name, params)})
        return DONE
    if method.asks_first:
        confirm(describe(app.plan(method.name, params)), yes=manner.yes, pays=method.effect is Effect.MONEY)
    outcome = await (_all_pages(app, method, params) if manner.all else app.call(method.name, params, _tell))
    made = exact.decode(outcome.value)
    if manner.wait and isinstance(made, dict) and isinstance(made.get("gatewayTransactionId"), str):
        return await _follow(app, method, made, manner, params.get("timeoutMs"))
    _show(method, manner.output, outcome.value, outcome.logs)
    if made is None and REPLAYED in outcome.logs and not manner.output.verbose:
        say("; ".join(outcome.logs))  # a result that is not kept must not pass for an empty one
    _tell_of_more(method, params, made, all_pages=manner.all)
    if manner.open:
        _offer_to_open(made, yes=manner.yes)
    if manner.wait:
        say("The charge was made, and cannot be followed: its result names no gatewayTransactionId.")
        return STILL_PENDING
    return exit_code_of(made) if method.name == WAIT else DONE


def _show(method: Method, output: Output, payload: Any, logs: tuple[str, ...]) -> None:
    """Print the result of a call; one that wrote was made, whatever becomes of its result, and is not to be repeated.

    Raises `OutputNotWritten` where that result cannot be printed.
    """
    rows = _items(method, exact.decode(payload)) if output.jsonl and output.query is None else None
    try:
        output.show(payload if rows is None else rows, logs)
    except QueryFailed as problem:
        if not method.writes:
            raise
        say(harmless(f"{problem.message}; the call was made, and this is all of its result"))
        replace(output, query=None, json=True).show(payload)
    except OSError as problem:
        if not method.writes:
            raise
        paid = {"moneyMoved": "yes"} if method.effect is Effect.MONEY else {}
        where = "openhuman.billing_list_payment_links has its link" if paid else f"{method.verify} shows what it did"
        raise OutputNotWritten(
            f"the call was made, and its result cannot be written: {problem.strerror}",
            hint=f"Do not make it again; {where}." if paid or method.verify else "Do not make it again.",
            effect="completed",
            **paid,
        ) from problem


def describe(plan: Mapping[str, Any]) -> str:
    """Say what a call would do, to whom and where, for somebody who has to say yes."""
    request = plan["request"]
    body = ", ".join(f"{name} {_brief(value)}" for name, value in (request["body"] or {}).items())
    what = f"{plan['method']}{f' ({body})' if body else ''}"
    return harmless(f"{what}: {request['verb']} {request['url']}, as {who_is(plan['account'])}")


def who_is(account: str | None) -> str:
    """Name an account, short."""
    return str(account)[:LONGEST_NAME]


async def account_of(app: App) -> tuple[str | None, str | None]:
    """Ask the hosted API for the ids of the user and of the active team; raises `CoreError`."""
    profile = exact.encode((await app.call(ME, {})).value)
    return user_id_of(profile), active_team_of(profile)


def exit_code_of(charge: Any) -> int:
    """Give the exit code of a payment that was followed: it may still be open, or have failed."""
    return CHARGE_ENDS.get(str(charge.get("status")) if isinstance(charge, dict) else "", STILL_PENDING)


async def _follow(app: App, method: Method, charge: dict[str, Any], manner: Manner, timeout_ms: Any) -> int:
    """Say where to pay, then follow the payment; what is printed is the charge with its last state.

    The charge is made: it is printed too where following it fails.
    """
    say(harmless(f"To pay: {charge.get('hostedUrl')}"))
    if manner.open:
        _offer_to_open(charge, yes=manner.yes)
    try:
        params = {"gatewayTransactionId": charge["gatewayTransactionId"], "timeoutMs": timeout_ms}
        outcome = await app.call(WAIT, params, _tell)
    except CoreError as failure:
        _show(method, manner.output, charge, ())
        say(harmless(f"The charge was made, and could not be followed: {failure.message}"))
        return INTERRUPTED if isinstance(failure, Cancelled) else STILL_PENDING
    state = exact.decode(outcome.value)
    _show(method, manner.output, {**charge, **(state if isinstance(state, dict) else {"status": state})}, outcome.logs)
    return exit_code_of(state)


async def _all_pages(app: App, method: Method, params: dict[str, Any]) -> RpcOutcome[Any]:
    """Page through a list to its end and give it as one page would be.

    Raises `BadBackendResponse` where a page is an earlier one again, or one without a list comes behind others.
    """
    whole, offset, seen = None, params.get("offset") or 0, set()
    while True:
        page = {**params, "limit": params.get("limit") or LARGEST_PAGE, "offset": offset}
        outcome = await app.call(method.name, page)
        made = exact.decode(outcome.value)
        more = _items(method, made)
        if more is None and whole is None:
            return outcome
        digest = hashlib.sha256(exact.encode(more)).digest()
        if more is None or digest in seen:
            raise BadBackendResponse(f"{method.route} gave a page twice, or one without its list")
        seen.add(digest)
        if whole is None:
            whole = made
        else:
            (_items(method, whole) or []).extend(more)
        offset += len(more)
        total = _total(made)
        if not more or (total is not None and offset >= total):
            if total is not None and offset < total:
                say(f"The list ended after {offset} of {total}.")
            return RpcOutcome(exact.encode(whole), *outcome.logs)


def _items(method: Method, page: Any) -> list[Any] | None:
    """Give the list that a result is, or is documented with; else the only one in it where it should be a list."""
    if isinstance(page, list):
        return page
    lists = {name: item for name, item in page.items() if isinstance(item, list)} if isinstance(page, dict) else {}
    documented = get_type_hints(method.result) if is_typeddict(method.result) else {}
    named = [lists[name] for name, hint in documented.items() if get_origin(hint) is list and name in lists]
    should_be = pages(method) or get_origin(method.result) is list
    return named[0] if named else next(iter(lists.values())) if should_be and len(lists) == 1 else None


def _total(page: Any) -> int | None:
    total = page.get("total") if isinstance(page, dict) else None
    return total if isinstance(total, int) else None


def _tell_of_more(method: Method, params: Mapping[str, Any], made: Any, *, all_pages: bool) -> None:
    """Say on stderr that a list goes on, or may."""
    if all_pages or not pages(method):
        return
    total, count = _total(made), len(_items(method, made) or [])
    shown = (params.get("offset") or 0) + count
    if total is not None and shown < total:
        are = "is" if total - shown == 1 else "are"
        say(f"There {are} {total - shown} more of {total}; --all gives them.")
    elif total is None and count >= (params.get("limit") or method.params.model_fields["limit"].default):
        say("There may be more; --all gives them.")


def _offer_to_open(made: Any, *, yes: bool) -> None:
    """Open the link of an answer where somebody agrees; the call is made, so nothing fails here."""
    link = next((made[name] for name in LINKS if isinstance(made, dict) and isinstance(made.get(name), str)), "")
    if not link.startswith(("https://", "http://")):
        say("There is no link to open.")
    elif yes or (is_terminal() and agreed(f"Open {harmless(link)} in a browser?")):
        click.launch(link)
    else:
        say("The link was not opened.")


def _tell(value: Any) -> None:
    """Show progress on stderr."""
    say(harmless(json.dumps(value)))


def _brief(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
