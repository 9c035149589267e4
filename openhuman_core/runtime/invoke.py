"""The one way to make a call: check, credential, base URL, controller; the wire contract, section 1, has the order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from openhuman_core.backend.route import Effect, Sending
from openhuman_core.errors import CoreError, InternalError, OutcomeUnknown, ShuttingDown
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Method
from openhuman_core.registry.outcome import RpcOutcome
from openhuman_core.registry.registry import Registry
from openhuman_core.runtime.logging import log
from openhuman_core.runtime.records import AccountRecords, Records, may_have_acted
from openhuman_core.runtime.spend import SpendLimit
from openhuman_core.settings import Settings

if TYPE_CHECKING:  # costly to import; the first call that needs them loads them
    from openhuman_core.backend.client import Backend
    from openhuman_core.registry.params import Params, ReadOptions


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call whose params passed every check; nothing has been sent. `progress` takes what it tells on its way."""

    method: Method
    params: Params
    options: ReadOptions
    sending: Sending
    progress: Callable[[Any], None]


@dataclass(slots=True)
class Record:
    """What the log says of one call when it has ended."""

    method: Method | None = None
    started: float = field(default_factory=time.perf_counter)
    correlation_id: str = field(default_factory=lambda: os.urandom(8).hex())

    def end(self, failure: CoreError | None = None) -> None:
        """Write the call's log line."""
        fields = {
            "method": self.method.name if self.method else None,
            "route": str(self.method.route) if self.method and self.method.route else None,
            "outcome": failure.kind if failure else "ok",
            "ms": round((time.perf_counter() - self.started) * 1000, 3),
            "correlationId": self.correlation_id,
        }
        log.info("call", extra=fields)


class Invoker:
    """Makes calls to the methods of a registry.

    `open_backend` gives the one connection to the hosted API, `open_records` the journal of the home.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        open_backend: Callable[[], Backend],
        open_records: Callable[[], Records],
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._open_backend = open_backend
        self._open_records = open_records
        self._spend_limit = SpendLimit(settings.max_spend_usd)

    def prepare(
        self, name: str, params: Any, record: Record, progress: Callable[[Any, Any], None] = lambda _token, _value: None
    ) -> Invocation:
        """Look the method up and check the params, without touching anything; raises `CoreError`.

        `progress` takes the caller's token and what the call tells on its way.
        """
        from openhuman_core.registry.params import check  # noqa: PLC0415 - see above

        method = record.method = self._registry.find(name)
        try:
            own, options = check(method.params, method.options, params, f"{method.namespace.name}.{method.function}")
        except CoreError as failure:
            told(failure, method)
            raise
        token = options.progress_token
        return Invocation(method, own, options, Sending(), partial(progress, token) if token is not None else _silence)

    async def run(self, invocation: Invocation) -> RpcOutcome[Any]:
        """Make the call; raises `CoreError`."""
        method, options = invocation.method, invocation.options
        try:
            backend = self._open_backend()
            credential = backend.credentials.require() if method.needs_credential else None
            if method.route:
                _ = backend.base_url  # step 8: told before anything that a method does of its own
            key = getattr(options, "idempotency_key", None)
            timeout = options.timeout_ms / 1000 if options.timeout_ms else None
            account = credential.account() if credential else ""
            records = AccountRecords(self._open_records, account, self._settings.base_url)
            context = Context(
                backend=backend,
                method=method,
                credential=credential,
                sending=invocation.sending,
                records=records,
                progress=invocation.progress,
                timeout_seconds=timeout,
                idempotency_key=key,
            )
            if key is None:
                return await self._make(context, records, invocation)
            return await records.once(
                key,
                method=method,
                params=invocation.params.wire(),
                sending=invocation.sending,
                timeout_seconds=timeout or self._settings.timeout_seconds,
                make=lambda left: self._make(replace(context, timeout_seconds=left), records, invocation),
            )
        except CoreError as failure:
            told(failure, method)
            raise

    async def _make(self, context: Context, records: AccountRecords, invocation: Invocation) -> RpcOutcome[Any]:
        """Reserve what the call may spend, make it, and remember the payment link that it made."""
        method = invocation.method
        amount = invocation.params.wire()[method.spends] if method.spends else 0
        reserved = self._spend_limit.reserve(amount)
        try:
            outcome = await method.handler(context, invocation.params)
        except BaseException as problem:
            if not may_have_acted(problem, method.effect, invocation.sending):
                self._spend_limit.give_back(reserved)
            raise
        for link in context.new_links:
            await records.remember(link)
        return outcome


def _silence(_value: Any) -> None:
    """Tell nobody of progress."""


def told(failure: CoreError, method: Method, sending: Sending | None = None) -> CoreError:
    """Add where to look when the outcome is unknown, and whether money moved for every method that pays.

    A refusal says no; where a call was given up, it depends on how far `sending` had come.
    """
    if isinstance(failure, OutcomeUnknown) and method.verify and method.verify not in failure.message:
        failure.message = f"{failure.message}; {method.verify} shows whether it acted"
        failure.facts.setdefault("hint", f"Look at {method.verify} before making the call again.")
    if method.effect is Effect.MONEY:
        moved = "unknown" if isinstance(failure, OutcomeUnknown) else "no"
        if sending is not None and isinstance(failure, InternalError | ShuttingDown):
            moved = {"not_sent": "no", "unknown": "unknown", "completed": "yes"}[sending.effect]
        failure.facts.setdefault("moneyMoved", moved)
    return failure


def given_up(invocation: Invocation) -> CoreError:
    """Say of a call that did not end before the drain's deadline what became of it."""
    writes = invocation.method.effect is not Effect.READ
    failure = ShuttingDown(
        "the program stopped before the call ended", effect=invocation.sending.effect if writes else None
    )
    return told(failure, invocation.method, invocation.sending)


def bug(problem: BaseException, record: Record, sending: Sending | None = None) -> CoreError:
    """Log an exception that nobody foresaw, and give what a caller may know of it."""
    log.error("bug", exc_info=problem, extra={"correlationId": record.correlation_id})
    failure = InternalError(record.correlation_id)
    return told(failure, record.method, sending) if record.method else failure
