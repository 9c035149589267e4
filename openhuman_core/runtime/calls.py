"""The calls of one session, from their acceptance to their answer; `runtime.accepted` has their states.

Accepting one costs next to nothing. A task checks what was accepted, in small portions, and loads what the first calls
need beside the event loop, so that what is answered inline overtakes all of it. What is to be called gets a task once
few enough others run, which goes on with what waits; the last that was checked is made by the task that did.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
from anyio import to_thread
from anyio.abc import TaskGroup

from openhuman_core.backend.route import Effect, Sending
from openhuman_core.errors import BackendTimeout
from openhuman_core.protocol import messages
from openhuman_core.protocol.messages import Call, Id, Parts
from openhuman_core.runtime.accepted import Accepted, Cut
from openhuman_core.runtime.builtins import Vitals
from openhuman_core.runtime.failures import cancelled, duplicate, for_caller, given_up
from openhuman_core.runtime.invoke import Invocation, Invoker
from openhuman_core.runtime.outbox import Replies, Sink

MAX_QUEUED = 1024
MAX_HELD_BYTES = 16 * 2**20
# Cancellations that came before their request, and ids that were answered: as many as any peer has under way.
REMEMBERED_IDS = 1024
# As JSON text; a cancellation of a longer id is not kept for a request that is still to come.
MAX_EARLY_ID_BYTES = 1024
# So many large answers of reads are held at a time, beside the one that is being written.
LARGE_AT_ONCE = 4
# After so long a large answer is read without a turn, unless the peer is behind: the turns may be those of a hosted API
# that stalls.
TURN_PATIENCE_SECONDS = 0.5
# So long calls are checked before others have their turn, which costs as much as a few checks.
TURN_SECONDS = 0.002


class Calls:
    """Takes calls and answers each of them once.

    `room` waits until there is room for another answer, which there is not while the peer `is_behind`, and `on_change`
    is told when a call was answered.
    """

    def __init__(
        self,
        invoker: Invoker,
        vitals: Vitals,
        replies: Replies,
        *,
        max_in_flight: int,
        tell_progress: Callable[[str | int, Any], None],
        room: Callable[[], Awaitable[None]],
        is_behind: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._invoker = invoker
        self._vitals = vitals
        self._replies = replies
        self._tell_progress = tell_progress
        self._room = room
        self._is_behind = is_behind
        self._on_change = on_change
        self._max_in_flight = max_in_flight
        self._opening = anyio.Lock()
        self._large_turns = anyio.Semaphore(LARGE_AT_ONCE)
        self._unchecked: deque[Accepted] = deque()
        self._waiting: OrderedDict[Accepted, Invocation] = OrderedDict()  # for their turn
        self._is_checking = False
        self._accepted: dict[Accepted, None] = {}  # in order
        self._by_id: dict[Id, Accepted] = {}
        # As hashes, which are short; a chance twin of one is left alone, as if its cancellation had come too late.
        self._answered_ids: deque[int] = deque(maxlen=REMEMBERED_IDS)
        self._early_cancels: deque[Id] = deque(maxlen=REMEMBERED_IDS)
        self._held_bytes = 0
        self._ending = False

    @property
    def is_full(self) -> bool:
        """Whether so many calls wait, or all together are so large, that no more should be read."""
        return self._vitals.queued >= MAX_QUEUED or self._held_bytes >= MAX_HELD_BYTES

    @property
    def is_idle(self) -> bool:
        """Whether every call that was accepted is answered."""
        return not self._accepted

    def begin_inline(self, call: Call) -> None:
        """Take a call that is answered on the spot; raises the `CoreError` of one that is not to be answered so."""
        if call.answered and call.id is not None:
            why = self._objection(call.id)
            self._answered_ids.append(hash(repr(call.id)))
            if why is not None:
                raise why(None)

    def accept(self, call: Call, sink: Sink, size: int, *, is_taken: bool = False) -> None:
        """Take a call; its answer goes to `sink`. `is_taken` says that its id is in use elsewhere."""
        accepted = Accepted(call, sink, size)
        if call.answered and call.id is not None:
            accepted.cut = duplicate if is_taken else self._objection(call.id)
            self._by_id.setdefault(call.id, accepted)
        if accepted.cut is None and self._vitals.draining:
            accepted.cut = given_up
        self._accepted[accepted] = None
        self._vitals.queued += 1
        self._held_bytes += size
        self._unchecked.append(accepted)
        if not self._is_checking:
            self._is_checking = True
            self._watches.start_soon(self._check_all)

    def _objection(self, call_id: Id) -> Cut | None:
        """Say why a call with this id is not to be made, if it is not."""
        if call_id in self._by_id:
            return duplicate
        if call_id in self._early_cancels:
            self._early_cancels.remove(call_id)
            return cancelled
        return None

    def cancel(self, call_id: Id) -> None:
        """Stop a call, or one that is still to come; one that was answered is left as it is."""
        accepted = self._by_id.get(call_id)
        if accepted is not None:
            self._cut(accepted, cancelled)
        elif (
            call_id is not None
            and hash(repr(call_id)) not in self._answered_ids
            and len(messages.encode(call_id)) <= MAX_EARLY_ID_BYTES
        ):
            self._early_cancels.append(call_id)

    def end_waits(self) -> None:
        """Stop the calls that only wait for others to act, now and whenever one comes to be checked."""
        self._ending = True
        for accepted in [*self._accepted]:
            if accepted.invocation is not None and accepted.invocation.method.waits:
                self._cut(accepted, given_up)

    def give_up(self) -> None:
        """Stop every call that is left; one whose method is being loaded is answered once that tells its effect."""
        for accepted in [*self._accepted]:
            self._cut(accepted, given_up)

    def abandon(self) -> None:
        """Answer what was given up and has not ended, as for a journal that another process holds, or a slow import."""
        for accepted in [*self._accepted]:
            accepted.failure = given_up(accepted.invocation)
            if accepted.invocation is not None:
                self._invoker.abandon(accepted.invocation, accepted.failure)
            self._finish(accepted)

    def begin(self, tasks: TaskGroup, watches: TaskGroup) -> None:
        """Make calls in `tasks`; in `watches`, which is cancelled at the end, what nobody waits for then."""
        self._tasks = tasks
        self._watches = watches

    async def _check_all(self) -> None:
        """Check what is accepted, and what comes meanwhile; calls begin in the order in which they came."""
        turn, others_begin = anyio.current_time(), False
        while self._unchecked:
            name = self._unchecked[0].call.method
            if not self._invoker.can_check(name):
                await to_thread.run_sync(self._invoker.load_checks, name, abandon_on_cancel=True)
            accepted = self._unchecked.popleft()
            invocation = self._check(accepted)
            if invocation is None:
                self._finish(accepted)
            elif self._vitals.in_flight < self._max_in_flight:
                self._take_turn(accepted)
                if not self._unchecked:
                    self._is_checking = False
                    if others_begin:
                        await anyio.lowlevel.checkpoint()
                    await self._run(accepted, invocation)
                    return
                self._tasks.start_soon(self._run, accepted, invocation)
                others_begin = True
            else:
                self._waiting[accepted] = invocation
                if invocation.deadline is not None:
                    self._watches.start_soon(self._watch_wait, accepted, invocation)
            if anyio.current_time() - turn > TURN_SECONDS:
                await anyio.lowlevel.checkpoint()
                turn, others_begin = anyio.current_time(), False
        self._is_checking = False

    def _check(self, accepted: Accepted) -> Invocation | None:
        """Check the params, and whether the call is still to be made."""
        call = accepted.call
        with accepted.noting_failure():
            invocation = self._invoker.prepare(call.method, call.params, accepted.record, self._tell_progress)
            if self._ending and invocation.method.waits:
                self._cut(accepted, given_up)
            if accepted.cut is None:
                accepted.invocation = invocation
            else:
                accepted.failure = accepted.cut(invocation)
        return accepted.invocation

    def _cut(self, accepted: Accepted, why: Cut) -> None:
        if accepted.cut is None:
            accepted.cut = why
            if accepted in self._waiting:
                accepted.failure = why(accepted.invocation)
                self._finish(accepted)
            elif accepted.scope is not None:
                accepted.scope.cancel()

    async def _watch_wait(self, accepted: Accepted, invocation: Invocation) -> None:
        """Give up a call that waits until its own time is over; `_take_turn` and `_finish` end the watch."""
        if accepted not in self._waiting:
            return
        with anyio.CancelScope() as accepted.watch:
            await anyio.sleep(invocation.seconds_left() or 0)
        if accepted in self._waiting:
            late = BackendTimeout(f"{invocation.method.name} timed out before it was its turn")
            accepted.failure = for_caller(late, invocation.method)
            self._finish(accepted)

    def _take_turn(self, accepted: Accepted) -> None:
        if accepted.watch is not None:
            accepted.watch.cancel()
        accepted.running = True
        self._vitals.in_flight += 1
        self._vitals.queued -= 1
        self._on_change()

    async def _run(self, accepted: Accepted, invocation: Invocation) -> None:
        """Make a call, and then one that waits, and so on: a task for each would cost a tenth of a call."""
        await self._make(accepted, invocation)
        while self._waiting and self._vitals.in_flight < self._max_in_flight:
            # Nothing is awaited since `_finish`: a call that is checked meanwhile would run before those that wait.
            accepted, invocation = self._waiting.popitem(last=False)
            self._take_turn(accepted)
            await anyio.lowlevel.checkpoint()  # a call may have waited for nothing
            await self._make(accepted, invocation)

    async def _make(self, accepted: Accepted, invocation: Invocation) -> None:
        answer: Parts = ()
        # What may have acted is read and told, whatever waits; what waits for others would keep its turn meanwhile.
        if invocation.method.effect is Effect.READ and not invocation.method.waits:
            invocation.sending.hold_large = partial(self._hold_large, accepted, invocation.sending)
        with anyio.CancelScope() as accepted.scope, accepted.noting_failure():
            if accepted.cut is not None:
                raise accepted.cut(invocation)
            await self._room()
            if not self._invoker.is_open:
                async with self._opening:
                    await to_thread.run_sync(self._invoker.open, abandon_on_cancel=True)
            outcome = await self._invoker.run(invocation)
            answer = messages.result(accepted.call.id, outcome.value, outcome.logs)
            if accepted.is_large:
                await self._room()
        invocation.sending.hold_large = None  # it holds the call: a ring that only the garbage collector would find
        if accepted.scope.cancelled_caught and accepted.cut is not None:
            accepted.failure = accepted.cut(invocation)
        self._finish(accepted, answer)
        if invocation.afterwards:
            self._tasks.start_soon(invocation.finish)

    async def _hold_large(self, accepted: Accepted, sending: Sending) -> None:
        """Wait for a turn of a large answer, once for each call."""
        while not accepted.is_large:
            with anyio.move_on_after(TURN_PATIENCE_SECONDS):
                sending.paused |= self._large_turns.value == 0
                await self._large_turns.acquire()
                accepted.has_turn = True
            accepted.is_large = accepted.has_turn or not self._is_behind()

    def _finish(self, accepted: Accepted, answer: Parts = ()) -> None:
        """Answer a call and forget it; one that was answered is left alone."""
        if accepted not in self._accepted:
            return
        del self._accepted[accepted]
        call, failure = accepted.call, accepted.failure
        if self._by_id.get(call.id) is accepted:
            del self._by_id[call.id]
            self._answered_ids.append(hash(repr(call.id)))
        accepted.record.end(failure)
        self._replies.send(call, answer if failure is None else failure, accepted.sink)
        if accepted.running:
            self._vitals.in_flight -= 1
        else:
            if self._waiting.pop(accepted, None) is not None and accepted.watch is not None:
                accepted.watch.cancel()
            self._vitals.queued -= 1
        if accepted.has_turn:
            self._large_turns.release()
        self._held_bytes -= accepted.size
        self._on_change()
