"""The journal as a running call sees it: each key acts once, and what was made is remembered."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread

from openhuman_core.backend.route import Sending
from openhuman_core.errors import BackendTimeout, CoreError, IdempotencyConflict, JournalUnavailable, OutcomeUnknown
from openhuman_core.protocol.messages import RawJson, encode
from openhuman_core.registry.outcome import RpcOutcome
from openhuman_core.runtime.logging import log

if TYPE_CHECKING:  # start-up pays for each import; the journal's brings SQLite, which most calls have no use for
    from openhuman_core.registry.method import Method
    from openhuman_core.runtime.journal import Found, Journal, Key

REPLAYED = "replayed: this idempotency key was used before"
NOTES = {
    "secret": "what it returned holds a secret, was returned before and is not kept",
    "settled": "it was settled as done by hand; its outcome is not known here",
}
FIRST_LOOK_SECONDS = 0.05
LONGEST_LOOK_SECONDS = 0.5

T = TypeVar("T")


class _Flight:
    """A call under way in this process, and what became of it for those who wait with the same key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.landed = anyio.Event()
        self.outcome: RpcOutcome[Any] | None = None
        self.failure: CoreError | None = None


class HomeRecords:
    """The journal of one home, and what this process is doing with it.

    `honours_keys` says that the hosted API takes a key only once, so that a call may be sent again with it. `flights`
    are the calls with a key that are under way, by scope and name: one each. Links are noted in the order of the
    answers, by whoever holds `noting`.
    """

    def __init__(self, journal: Journal, *, honours_keys: bool) -> None:
        self.journal = journal
        self.honours_keys = honours_keys
        self.flights: dict[tuple[str, str], _Flight] = {}
        self.noting = anyio.Lock()


class AccountRecords:
    """The records of one account at one base URL; the journal is opened when they are first needed.

    What is to be written once the caller has its answer is added to `afterwards`.
    """

    def __init__(
        self,
        open_records: Callable[[], HomeRecords],
        account: str,
        base_url: Callable[[], str],
        afterwards: list[Callable[[], Awaitable[None]]],
    ) -> None:
        self._open_records = open_records
        self._account = account
        self._base_url = base_url
        self._afterwards = afterwards
        self._notes: list[Callable[[], None]] = []  # what writes to the journal; in a thread

    async def entries(self, limit: int, offset: int, state: str | None) -> list[dict[str, Any]]:
        """List idempotency keys, newest first."""
        return await _in_thread(lambda: self._journal.entries(self._scope(), limit, offset, state))

    async def resolve(self, name: str, *, done: bool) -> dict[str, Any]:
        """Settle a key by hand; raises `InvalidParams` where its outcome is not unknown."""
        return await _in_thread(lambda: self._journal.resolve(self._scope(), name, done=done))

    async def links(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """List payment links, newest first, those of calls that were just answered too."""
        records = await _in_thread(self._open_records)
        async with records.noting:  # it is given in turn: what is still to be noted of those comes first
            return await _in_thread(lambda: self._journal.links(self._scope(), limit, offset))

    def remember(self, link_id: str, status: str | None, record: dict[str, Any]) -> None:
        """Add a payment link to the list once the caller has its answer."""
        self._note(lambda: self._journal.remember_link(self._scope(), link_id, status, record))

    def note_status(self, link_id: str, status: str) -> None:
        """Keep what was learned of a payment once the caller has its answer."""

        def note() -> None:
            if self._journal.exists():  # else there is no link either whose status it could be
                self._journal.note_status(self._scope(), link_id, status)

        self._note(note)

    async def _catch_up(self) -> None:
        """Write what was noted; a home that cannot be written to loses it, not the call."""
        try:
            async with self._open_records().noting:
                for note in self._notes:
                    await _in_thread(note)
        except JournalUnavailable as problem:
            log.warning("payment links not recorded", exc_info=problem)

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

        `make` takes the seconds that are left. Params count as they are after trimming and defaults. Who waits for
        another call looks for itself, and may make it, where that one was cut short or timed out.

        Raises `IdempotencyConflict`; `OutcomeUnknown` where an earlier call may have acted, and where one that may
        act is under way for longer than `timeout_seconds`, `BackendTimeout` for another one; `JournalUnavailable`;
        and whatever `make` raises.
        """
        text = json.dumps(plain(params), sort_keys=True).encode()
        scope, digest = await _in_thread(lambda: (self._scope(), self._journal.digest(text)))
        from openhuman_core.runtime.journal import Key  # a thread has loaded it by now

        key = Key(scope, name, method.name, digest)
        flights, identity = self._open_records().flights, (scope, name)
        deadline = anyio.current_time() + timeout_seconds
        try:
            with anyio.fail_after(timeout_seconds):
                while flight := flights.get(identity):
                    if flight.key != key:
                        raise used_before(flight.key.method, method.name)
                    sending.doubtful = not method.effect.repeatable
                    await flight.landed.wait()
                    if flight.outcome is not None:
                        return RpcOutcome(flight.outcome.value, *flight.outcome.logs, REPLAYED)
                    if flight.failure is not None:
                        raise copy.copy(flight.failure)
        except TimeoutError as problem:
            raise _under_way(method) from problem
        mine = flights[identity] = _Flight(key)
        try:
            mine.outcome = await self._lead(key, method, sending, deadline, make)
        except TimeoutError as problem:  # of the wait for another process
            raise _under_way(method) from problem
        except CoreError as failure:
            if not isinstance(failure, BackendTimeout):
                mine.failure = failure
            raise
        finally:
            del flights[identity]
            mine.landed.set()
        return mine.outcome

    @property
    def _journal(self) -> Journal:
        """The journal; only threads ask for it, since opening it imports what is slow to import."""
        return self._open_records().journal

    def _scope(self) -> str:
        """Give the digest that keeps accounts and base URLs apart; in a thread."""
        return self._journal.digest(f"{self._account}\n{self._base_url()}".encode(errors="surrogatepass"))

    def _note(self, note: Callable[[], None]) -> None:
        if not self._notes:
            self._afterwards.append(self._catch_up)
        self._notes.append(note)

    async def _lead(
        self,
        key: Key,
        method: Method,
        sending: Sending,
        deadline: float,
        make: Callable[[float], Awaitable[RpcOutcome[Any]]],
    ) -> RpcOutcome[Any]:
        found = await self._claim(key, method, sending, deadline)
        if found.state == "done":
            return _replay(found)
        sending.doubtful = (found.doubtful or not found.claimed) and not method.effect.repeatable
        if not found.claimed:
            raise OutcomeUnknown(
                "the outcome of an earlier call with this idempotency key is unknown",
                hint=settling_hint(method, key.name),
            )
        try:
            outcome = await make(deadline - anyio.current_time())
        except BaseException as problem:
            may_have_acted = sending.effect != "not_sent" and not method.effect.repeatable
            await self._settle(key, "unknown" if may_have_acted else "free")
            if isinstance(problem, CoreError) and may_have_acted:
                raise _in_doubt(problem, settling_hint(method, key.name)) from problem
            raise
        if method.secret:
            await self._settle(key, "done", note="secret")
        else:
            await self._settle(key, "done", encode([*outcome.logs]) + b"\n" + encode(outcome.value))
        return outcome

    async def _claim(self, key: Key, method: Method, sending: Sending, deadline: float) -> Found:
        """Take the key, waiting for as long as another process that is alive has it; raises `TimeoutError`."""
        resend = method.effect.repeatable or self._open_records().honours_keys
        look = FIRST_LOOK_SECONDS
        while True:
            found = await _in_thread(lambda: self._journal.claim(key, resend_unknown=resend))
            if found.claimed or found.state != "pending":
                return found
            sending.doubtful = not method.effect.repeatable
            if anyio.current_time() + look > deadline:
                raise TimeoutError
            await anyio.sleep(look)
            look = min(look * 2, LONGEST_LOOK_SECONDS)

    async def _settle(self, key: Key, state: Any, outcome: bytes | None = None, note: str | None = None) -> None:
        try:
            await _in_thread(lambda: self._journal.settle(key, state, outcome, note))
        except JournalUnavailable as problem:  # the call is over: its caller is told of it, not of this
            log.error("journal not written", exc_info=problem)


def plain(value: Any) -> Any:
    """Write a number in one form only: 25, 25.0 and 2.5e1 are the same."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_doubt(failure: CoreError, hint: str) -> CoreError:
    """Tell of a failure after which it is not known whether a call under this key acted, now or earlier."""
    if isinstance(failure, OutcomeUnknown):
        failure.facts["hint"] = hint
        return failure
    facts = {name: value for name, value in failure.facts.items() if name not in ("moneyMoved", "retryAfterMs")}
    return OutcomeUnknown(f"the outcome is unknown; this time: {failure.message}", **{**facts, "hint": hint})


def _under_way(method: Method) -> CoreError:
    """Say that the time is up while another call has the key; what that one does is not known yet."""
    late = BackendTimeout if method.effect.repeatable else OutcomeUnknown
    return late("a call with this idempotency key is still under way", hint="Ask again with the same key.")


def used_before(earlier: str, method: str) -> IdempotencyConflict:
    """Say that a key is in use for another call."""
    how = f"other params of {method}" if earlier == method else earlier
    return IdempotencyConflict(f"the idempotency key was used before, for {how}")


def settling_hint(method: Method, key: str | None) -> str:
    """Say which read shows whether a call acted, and how its key is settled where it has one."""
    look = f"Look at {method.verify or 'what the account holds'}"
    if key is None:
        return f"{look} before making the call again."
    return f"{look}, then settle the key with openhuman.journal_resolve (done or not_done)."


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
