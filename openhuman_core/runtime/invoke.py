"""The one way to make a call: check, credential, base URL, controller; the wire contract, section 1, has the order.

The objects of one call, in the order in which they come:

    Call         protocol.messages  what a peer wrote: method, params, id
    Accepted     runtime.accepted   its way through the session: where its answer goes, what may cut it short
    Record       made with it       what the log says of it at its end
    Invocation   Invoker.prepare    what is to be called, with params that passed every check
    Sending      made with it       how far it came at the hosted API: what a cancelled call may have done
    Context      Invoker.run        what the method is given: backend, credential, records, progress

A call of the command line has no peer and no session: it begins with a Record.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from openhuman_core.backend.route import Sending
from openhuman_core.errors import CoreError
from openhuman_core.registry.outcome import RpcOutcome
from openhuman_core.registry.registry import Registry
from openhuman_core.runtime import logging, policy
from openhuman_core.runtime.expectation import Expectation
from openhuman_core.runtime.failures import for_caller
from openhuman_core.runtime.records import REPLAYED, AccountRecords, HomeRecords
from openhuman_core.runtime.spend import SpendLimit
from openhuman_core.settings import Settings

if TYPE_CHECKING:  # costly to import; the first call that needs them loads them
    from openhuman_core.backend.client import Backend
    from openhuman_core.registry.context import Context
    from openhuman_core.registry.method import Method
    from openhuman_core.registry.params import Params

# What reads params; it brings pydantic.
CHECKS = "openhuman_core.registry.params"
# Correlation ids of 64 bits: consecutive, from anywhere in the lower half.
_IDS = itertools.count(int.from_bytes(os.urandom(8), "big") >> 1)


class Invocation(NamedTuple):
    """A call whose params passed every check; nothing has been sent. `progress` takes what it tells on its way.

    `accepted` is when it came, and `deadline` where the caller gives up, on the clock of `time.perf_counter`.
    `secrets` are what no log and no error may hold of it. `afterwards` is what is left to do once the caller has its
    answer.
    """

    method: Method
    params: Params
    sending: Sending
    progress: Callable[[Any], None]
    accepted: float
    deadline: float | None
    key: str | None
    secrets: list[str]
    afterwards: list[Callable[[], Awaitable[None]]]

    async def finish(self) -> None:
        """Do what is left to do once the caller has its answer; never raises."""
        for work in self.afterwards:
            await work()

    def seconds_left(self) -> float | None:
        """Give the time until the caller gives up; None where it set no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - time.perf_counter())


class Record:
    """What the log says of one call when it has ended."""

    def __init__(self) -> None:
        self.method: Method | None = None
        self.started = time.perf_counter()
        self.correlation_id = f"{next(_IDS):016x}"

    def end(self, failure: CoreError | None = None) -> None:
        """Write the call's log line."""
        if not logging.log.isEnabledFor(logging.INFO):
            return
        logging.announce(
            "call",
            method=self.method.name if self.method else None,
            route=str(self.method.route) if self.method and self.method.route else None,
            outcome=failure.kind if failure else "ok",
            ms=round((time.perf_counter() - self.started) * 1000, 3),
            correlationId=self.correlation_id,
        )


class Invoker:
    """Makes calls to the methods of a registry.

    `open_backend` makes the one connection to the hosted API, `open_records` the journal of the home, where keys belong
    to an account and to a `realm`: the base URL, unless another is named.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        open_backend: Callable[[], Backend],
        open_records: Callable[[], HomeRecords],
        realm: str | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._open_backend = open_backend
        self._open_records = open_records
        self._realm = settings.base_url if realm is None else lambda: realm
        self._backend: Backend | None = None
        self._spend_limit = SpendLimit(settings.max_spend_usd)
        self.expectation = Expectation(settings.expect_user, settings.expect_team)
        self._audit = None
        if settings.audit is not None:
            from openhuman_core.runtime.audit import Audit  # few ask for one

            self._audit = Audit(settings.audit, settings.profile)

    def can_check(self, name: str) -> bool:
        """Tell whether a call to a method of this name can be checked without importing anything."""
        return CHECKS in sys.modules and self._registry.is_loaded(name)

    def load_checks(self, name: str) -> None:
        """Import what checking such a call needs; it takes a while, and any thread may do it."""
        import_module(CHECKS)
        self._registry.load(name)

    @property
    def is_open(self) -> bool:
        """Whether a call can be made without importing anything."""
        return self._backend is not None

    def open(self) -> Backend:
        """Import what reaching the hosted API needs, without reaching for it; it takes a while, in any one thread."""
        if self._backend is None:
            self._backend = self._open_backend()
        return self._backend

    async def aclose(self) -> None:
        """Close the connections to the hosted API."""
        if self._backend is not None:
            await self._backend.aclose()

    def prepare(
        self, name: str, params: Any, record: Record, progress: Callable[[Any, Any], None] = lambda _token, _value: None
    ) -> Invocation:
        """Look the method up, check the params and the policy, without touching anything; raises `CoreError`.

        `progress` takes the caller's token and what the call tells on its way.
        """
        from openhuman_core.registry.params import check

        method = record.method = self._registry.find(name)
        try:
            own, options = check(method.params, method.options, params, f"{method.namespace.name}.{method.function}")
            policy.check(self._settings, method)
        except CoreError as failure:
            for_caller(failure, method)
            raise
        token, limit = options.progress_token, options.timeout_ms
        return Invocation(
            method,
            own,
            Sending(),
            progress=partial(progress, token) if token is not None else lambda _value: None,
            accepted=record.started,
            deadline=None if limit is None else record.started + limit / 1000,
            key=getattr(options, "idempotency_key", None) if method.writes else None,
            secrets=own.secrets(),
            afterwards=[],
        )

    def plan(self, invocation: Invocation) -> dict[str, Any]:
        """Say what the call would do, without a byte on the network; secrets are covered.

        Raises the `CoreError`s of a call that would not come as far as being sent.
        """
        method = invocation.method
        try:
            backend = self.open()
            credential = backend.credentials.require(since=invocation.accepted) if method.needs_credential else None
            route, base_url = method.route, backend.base_url if method.route else ""
            sent = route.request(invocation.params.wire(covered=True)) if route else None
        except CoreError as failure:
            for_caller(failure, method)
            raise
        return {
            "method": method.name,
            "effect": method.effect.value,
            "route": str(route) if route else None,
            "request": sent and {"verb": sent.route.verb, "url": base_url + sent.path, "body": sent.json()},
            "account": credential.account() if credential else None,
            "baseUrl": base_url or None,
            "idempotencyKey": invocation.key,
        }

    async def run(self, invocation: Invocation) -> RpcOutcome[Any]:
        """Make the call; raises `CoreError`."""
        if self._audit is None or not invocation.method.writes:
            return await self._run(invocation)
        try:
            await self._audit.check()
        except CoreError as failure:
            raise for_caller(failure, invocation.method) from failure.__cause__
        async with self._audit.line(invocation) as line:
            outcome = await self._run(invocation)
            line |= {"outcome": "ok", "replayed": REPLAYED in outcome.logs}
        return outcome

    def abandon(self, invocation: Invocation, failure: CoreError) -> None:
        """Put on the trail that the caller of a call that does not end is told of `failure`."""
        if self._audit is not None:
            self._audit.abandon(invocation, failure)

    async def _run(self, invocation: Invocation) -> RpcOutcome[Any]:
        from openhuman_core.registry.context import Context  # the method's own module has loaded it

        method, key = invocation.method, invocation.key
        try:
            backend = self.open()
            await backend.credentials.refresh(invocation.seconds_left())
            timeout = invocation.seconds_left()
            credential = backend.credentials.require(since=invocation.accepted) if method.needs_credential else None
            if credential is not None:
                invocation.secrets.append(credential.secret.get_secret_value())
            if method.route:
                _ = backend.base_url  # step 8: told before anything that a method does of its own
            if credential is not None and method.writes:
                team = invocation.params.wire().get("teamId")
                await self.expectation.check(backend, credential, team, timeout_seconds=timeout)
                timeout = invocation.seconds_left()
            account = credential.account() if credential else ""
            records = AccountRecords(self._open_records, account, self._realm, invocation.afterwards)
            context = Context(
                backend=backend,
                method=method,
                credential=credential,
                account=account,
                sending=invocation.sending,
                records=records,
                progress=invocation.progress,
                timeout_seconds=timeout,
                idempotency_key=key,
            )
            if key is None:
                return await self._make(context, invocation)
            return await records.once(
                key,
                method=method,
                params=invocation.params.wire(),
                sending=invocation.sending,
                timeout_seconds=self._settings.timeout_seconds if timeout is None else timeout,
                make=lambda left: self._make(context._replace(timeout_seconds=left), invocation),
            )
        except CoreError as failure:
            for_caller(failure, method, invocation.sending, invocation.secrets)
            raise

    async def _make(self, context: Context, invocation: Invocation) -> RpcOutcome[Any]:
        """Reserve what the call may spend, and make it."""
        method = invocation.method
        if method.spends is None:
            return await method.handler(context, invocation.params)
        call = (context.account, invocation.key)
        amount, is_resent = invocation.params.wire()[method.spends], invocation.sending.doubtful
        reserved = self._spend_limit.reserve(amount, call, is_resent=is_resent)
        try:
            return await method.handler(context, invocation.params)
        except BaseException:
            if invocation.sending.stage == "not_sent":
                self._spend_limit.give_back(reserved)
            else:
                self._spend_limit.hold(amount, call)
            raise
