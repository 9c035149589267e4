"""The journal as a running call sees it: each key acts once, and what was made is remembered."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread

from openhuman_core.backend.route import Effect, Sending
from openhuman_core.errors import BackendTimeout, CoreError, JournalUnavailable, OutcomeUnknown
from openhuman_core.protocol.messages import RawJson, encode
from openhuman_core.registry.context import PaymentLink
from openhuman_core.registry.method import Method
from openhuman_core.registry.outcome import RpcOutcome
from openhuman_core.runtime.logging import log

if TYPE_CHECKING:  # brings SQLite and cryptography, and most calls need neither
    from openhuman_core.runtime.journal import Found, Journal, Key

REPLAYED = "replayed: this idempotency key was used before"
NOTES = {
    "secret": "what it returned holds a secret, was returned before and is not kept",
    "settled": "it was settled as done by hand; its outcome is not known here",
}
FIRST_LOOK_SECONDS = 0.05
LONGEST_LOOK_SECONDS = 0.5

T = TypeVar("T")


@dataclass(slots=True)
class _Flight:
    """A call under way in this process, and what became of it for those who wait with the same key."""

    key: Key
    landed: anyio.Event = field(default_factory=anyio.Event)
    outcome: RpcOutcome[Any] | None = None
    failure: CoreError | None = None


class Records:
    """The journal of one home, and the calls with a key that are under way in this process.

    `honours_keys` says that the hosted API takes a key only once, so that a call may be sent again with it.
    """

    def __init__(self, journal: Journal, *, honours_keys: bool) -> None:
        self.journal = journal
        self.honours_keys = honours_keys
        self.flights: dict[tuple[str, str], _Flight] = {}


class AccountRecords:
    """The records of one account at one base URL; the journal is opened when they are first needed."""

    def __init__(self, open_records: Callable[[], Records], account: str, base_url: Callable[[], str]) -> None:
        self._open_records = open_records
        self._account = account
        self._base_url = base_url

    async def entries(self, limit: int, offset: int, state: str | None) -> list[dict[str, Any]]:
        """List idempotency keys, newest first."""
        scope = await self._scope()
        return await _in_thread(lambda: self._journal.entries(scope, limit, offset, state))

    async def resolve(self, name: str, *, done: bool) -> dict[str, Any]:
        """Settle a key by hand; raises `InvalidParams` where its outcome is not unknown."""
        scope = await self._scope()
        return await _in_thread(lambda: self._journal.resolve(scope, name, done=done))

    async def links(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """List payment links, newest first."""
        scope = await self._scope()
        return await _in_thread(lambda: self._journal.links(scope, limit, offset))

    async def remember(self, link: PaymentLink) -> None:
        """Add a payment link to the list; a home that cannot be written to loses the entry, not the call."""
        try:
            scope = await self._scope()
            await _in_thread(lambda: self._journal.remember_link(scope, link.id, link.status, link.record))
        except JournalUnavailable as problem:
            log.warning("payment link not recorded", exc_info=problem)

    async def note_status(self, link_id: str, status: str) -> None:
        """Keep what was learned of a payment, if that can be kept."""
        try:
            scope = await self._scope()
            await _in_thread(lambda: self._journal.note_status(scope, link_id, status))
        except JournalUnavailable as problem:
            log.warning("payment status not recorded", exc_info=problem)

    async def once(
        self,
        name: str,
        *,
        method: Method,
        params: Mapping[str, Any],
        sending: Sending,
        timeout_seconds: float,
        make: Callable[[float], Awaitable[RpcOutcome[Any]]],
    ) -> RpcOutcome[Any]:
        """Make the call if its key is free; otherwise give what became of the call that used it.

        `make` takes the seconds that are left. Params count as they are after trimming and defaults.

        Raises `IdempotencyConflict`; `OutcomeUnknown` where an earlier call may have acted, and where one that may
        act is under way for longer than `timeout_seconds`, `BackendTimeout` for another one; `JournalUnavailable`;
        and whatever `make` raises.
        """
        scope, digest = await self._scope(), await self._digest(json.dumps(params, sort_keys=True).encode())
        from openhuman_core.runtime.journal import Key  # noqa: PLC0415 - a thread has loaded it by now

        key = Key(scope, name, method.name, digest)
        flights, place = self._open_records().flights, (key.scope, key.name)
        deadline = anyio.current_time() + timeout_seconds
        try:
            with anyio.fail_after(timeout_seconds):
                while (flight := flights.get(place)) and flight.key == key:
                    await flight.landed.wait()
                    if flight.outcome is not None:
                        return RpcOutcome(flight.outcome.value, *flight.outcome.logs, REPLAYED)
                    if flight.failure is not None:
                        raise copy.copy(flight.failure)
        except TimeoutError as problem:
            raise _under_way(method) from problem
        mine = _Flight(key)
        flights.setdefault(place, mine)
        try:
            mine.outcome = await self._lead(key, method, sending, deadline, make)
        except CoreError as failure:
            mine.failure = failure
            raise
        finally:
            if flights.get(place) is mine:
                del flights[place]
            mine.landed.set()
        return mine.outcome

    @property
    def _journal(self) -> Journal:
        """The journal; only threads ask for it, since opening it imports what is slow to import."""
        return self._open_records().journal

    async def _scope(self) -> str:
        """Give the digest that keeps accounts and base URLs apart."""
        text = f"{self._account}\n{self._base_url()}".encode()
        return await self._digest(text)

    async def _digest(self, text: bytes) -> str:
        return await _in_thread(lambda: self._journal.digest(text))

    async def _lead(
        self,
        key: Key,
        method: Method,
        sending: Sending,
        deadline: float,
        make: Callable[[float], Awaitable[RpcOutcome[Any]]],
    ) -> RpcOutcome[Any]:
        found = await self._claim(key, method, deadline)
        if found.state == "done":
            return _replay(found)
        if not found.claimed:
            raise OutcomeUnknown(
                "the outcome of an earlier call with this idempotency key is unknown",
                hint=settling_hint(method, key.name),
            )
        try:
            outcome = await make(deadline - anyio.current_time())
        except BaseException as problem:
            if isinstance(problem, OutcomeUnknown):
                problem.facts["hint"] = settling_hint(method, key.name)
            await self._settle(key, "unknown" if may_have_acted(problem, method.effect, sending) else "free")
            raise
        if method.secret:
            await self._settle(key, "done", note="secret")
        else:
            await self._settle(key, "done", encode([*outcome.logs]) + b"\n" + encode(outcome.value))
        return outcome

    async def _claim(self, key: Key, method: Method, deadline: float) -> Found:
        """Take the key, waiting for as long as another process that is alive has it."""
        resend = method.effect.repeatable or self._open_records().honours_keys
        look = FIRST_LOOK_SECONDS
        while True:
            found = await _in_thread(lambda: self._journal.claim(key, resend_unknown=resend))
            if found.claimed or found.state != "pending":
                return found
            if anyio.current_time() + look > deadline:
                raise _under_way(method)
            await anyio.sleep(look)
            look = min(look * 2, LONGEST_LOOK_SECONDS)

    async def _settle(self, key: Key, state: Any, outcome: bytes | None = None, note: str | None = None) -> None:
        try:
            await _in_thread(lambda: self._journal.settle(key, state, outcome, note))
        except JournalUnavailable as problem:  # the call is over: its caller is told of it, not of this
            log.error("journal not written", exc_info=problem)


def _under_way(method: Method) -> CoreError:
    """Say that the time is up while another call has the key; what that one does is not known yet."""
    late = BackendTimeout if method.effect.repeatable else OutcomeUnknown
    return late("a call with this idempotency key is still under way", hint="Ask again with the same key.")


def settling_hint(method: Method, key: str | None) -> str:
    """Say which read shows whether a call acted, and how its key is settled where it has one."""
    look = f"Look at {method.verify or 'what the account holds'}"
    if key is None:
        return f"{look} before making the call again."
    return f"{look}, then settle the key with openhuman.journal_resolve (done or not_done)."


def may_have_acted(problem: BaseException, effect: Effect, sending: Sending) -> bool:
    """Tell whether a call that ended so, refused or given up or broken, may have acted where that matters."""
    if effect.repeatable or sending.effect == "not_sent":
        return False
    return isinstance(problem, OutcomeUnknown) or not isinstance(problem, CoreError)


def _replay(found: Found) -> RpcOutcome[Any]:
    if found.outcome is None:
        return RpcOutcome(RawJson(b"null"), REPLAYED, *([NOTES[found.note]] if found.note else []))
    logs, _, value = found.outcome.partition(b"\n")
    return RpcOutcome(RawJson(value), *json.loads(logs), REPLAYED)


async def _in_thread(work: Callable[[], T]) -> T:
    """Do journal work to its end, whatever happens to the call meanwhile: half-known is worse than late."""
    with anyio.CancelScope(shield=True):
        result = await to_thread.run_sync(work)
    return result  # noqa: RET504 - a scope might swallow, for all that mypy knows
