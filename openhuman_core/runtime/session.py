"""One peer: read, dispatch, write, and end.

What touches nothing outside the process is answered where it is read and overtakes whatever waits; all else goes to
`calls`. What waits is bounded, and so are answers that nobody reads: past the bound reading stops.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterable

import anyio

from openhuman_core import __version__
from openhuman_core.errors import CoreError
from openhuman_core.protocol import messages
from openhuman_core.protocol.framing import Decoder
from openhuman_core.protocol.messages import Batch, Call, Malformed, Parts
from openhuman_core.runtime import logging, signals
from openhuman_core.runtime.builtins import BUILTINS, DISCOVER, Program, Vitals, call_builtin
from openhuman_core.runtime.calls import Calls
from openhuman_core.runtime.discovery import Discovery
from openhuman_core.runtime.failures import duplicate, given_up
from openhuman_core.runtime.invoke import Invoker
from openhuman_core.runtime.logging import log
from openhuman_core.runtime.outbox import BatchAnswers, Outbox, Replies, Sink
from openhuman_core.runtime.stdio import Wire
from openhuman_core.settings import Settings

# So many may wait for the description while it is made.
MAX_DESCRIBING = 16
# So long a pause means that the peer waits for nothing now.
IDLE_SECONDS = 0.1
# How long the last answers have to be read once everything is given up.
FLUSH_SECONDS = 0.5

DRAINED, FORCED, PARENT_GONE, STDOUT_CLOSED = 0, 20, 21, 22


class Session:
    """Serves one peer over `wire` until its input ends or a stop is asked for.

    `load_ahead` imports in the background what the first call needs. `leave` ends the program with an exit code, though
    a thread be busy that nothing can stop.
    """

    def __init__(
        self,
        discovery: Discovery,
        invoker: Invoker,
        settings: Settings,
        wire: Wire,
        *,
        load_ahead: Callable[[], None],
        leave: Callable[[int], None],
    ) -> None:
        self._settings = settings
        self._vitals = Vitals()
        self._program = Program(discovery, settings, self._vitals, self.stop)
        self._wire = wire
        self._load_ahead = load_ahead
        self._leave = leave
        self._reads = 0
        self._input_ended = False
        self._decoder = Decoder(settings.framing, settings.max_message_bytes)  # type: ignore[arg-type]
        self._exit_code = DRAINED
        self._reading = anyio.CancelScope()
        self._draining = anyio.CancelScope(deadline=math.inf)
        self._changed = anyio.Event()
        self._outbox = Outbox(wire, self._decoder, self._change)
        self._replies = Replies(self._vitals)
        self._describing: list[tuple[Call, Sink]] = []  # who waits for the description
        self._calls = Calls(
            invoker,
            self._vitals,
            self._replies,
            max_in_flight=settings.max_in_flight,
            tell_progress=lambda token, value: self._outbox.send(messages.progress(token, value), is_progress=True),
            room=lambda: self._until(lambda: not self._outbox.is_behind),
            is_behind=lambda: self._outbox.is_behind,
            on_change=self._change,
        )

    async def run(self) -> int:
        """Serve until the end; gives the exit code of the wire contract's section 9."""
        async with anyio.create_task_group() as everything:
            self._everything = everything
            async with anyio.create_task_group() as tasks:
                self._calls.begin(tasks, watches=everything)
                for watch in (
                    self._write,
                    self._watch_output,
                    self._watch_signals,
                    self._watch_parent,
                    self._watch_idleness,
                    self._log_start,
                ):
                    everything.start_soon(watch)
                with self._reading:
                    await self._read()
                self._input_ended = True
                self._calls.end_waits()
                with self._draining:
                    await self._until(self._is_done)
                if not self._is_done():
                    await self._give_up()
            everything.cancel_scope.cancel()
        return self._exit_code

    def stop(self, exit_code: int = DRAINED) -> None:
        """Take no more, and give what was accepted until the drain's deadline."""
        self._exit_code = self._exit_code or exit_code
        if not self._vitals.draining:
            self._vitals.draining = True
            self._draining.deadline = anyio.current_time() + self._settings.drain_seconds
            self._reading.cancel()

    async def _read(self) -> None:
        found: Iterable[bytes | Malformed] = iter(())
        try:
            while data := await self._wire.read():
                self._reads += 1
                found = iter(self._decoder.feed(data))
                for item in found:
                    self._take(item)
                    if not self._has_room():
                        await self._until(self._has_room)
            found = iter(self._decoder.end())
        finally:  # what was read is answered, if only to say that the program stops
            for item in found:
                self._take(item)

    def _has_room(self) -> bool:
        return not self._calls.is_full and self._outbox.has_room and len(self._describing) < MAX_DESCRIBING

    def _take(self, item: bytes | Malformed) -> None:
        message = messages.read(item, self._settings.max_batch) if isinstance(item, bytes) else item
        size = len(item) if isinstance(item, bytes) else 0
        if isinstance(message, Batch):
            collected = BatchAnswers(len(message.members), self._outbox.send)
            for member in message.members:
                self._dispatch(member, collected.take, size // len(message.members))
        else:
            self._dispatch(message, self._outbox.send, size)

    def _dispatch(self, message: Call | Malformed, sink: Sink, size: int) -> None:
        if isinstance(message, Malformed):
            self._replies.refuse(message.id, message.error, sink)
        elif message.method in BUILTINS:
            self._take_inline(message, sink)
        elif message.method == messages.CANCEL and not message.answered:
            self._calls.cancel(messages.id_to_cancel(message))
            sink(())
        else:
            self._calls.accept(message, sink, size, is_taken=self._waits_for_description(message))

    def _take_inline(self, call: Call, sink: Sink) -> None:
        try:
            if self._waits_for_description(call):
                raise duplicate(None)
            self._calls.begin_inline(call)
        except CoreError as failure:
            self._replies.send(call, failure, sink)
            return
        if call.method != DISCOVER or self._program.discovery.text is not None:
            self._answer_inline(call, sink)
            return
        if not self._describing:
            self._everything.start_soon(self._describe)
        self._describing.append((call, sink))

    def _waits_for_description(self, call: Call) -> bool:
        """Whether another call under its id does."""
        return bool(self._describing) and call.id is not None and any(call.id == it.id for it, _ in self._describing)

    async def _describe(self) -> None:
        await self._program.discovery.make_beside()
        for call, sink in self._describing:
            self._answer_inline(call, sink)
        self._describing.clear()
        self._change()

    def _answer_inline(self, call: Call, sink: Sink) -> None:
        outcome: Parts | CoreError
        try:
            outcome = messages.result(call.id, call_builtin(call.method, call.params, self._program))
        except CoreError as failure:
            outcome = failure
        self._replies.send(call, outcome, sink)

    def _is_done(self) -> bool:
        return self._calls.is_idle and not self._describing and not self._outbox.unread_bytes

    async def _give_up(self) -> None:
        """Answer what is left at the drain's deadline, and leave what does not end even then."""
        self._exit_code = self._exit_code or FORCED
        self._calls.give_up()
        for call, sink in self._describing:
            self._replies.send(call, given_up(None), sink)
        self._describing.clear()
        with anyio.move_on_after(FLUSH_SECONDS):
            await self._until(self._is_done)
        is_stuck = not self._calls.is_idle
        self._calls.abandon()
        with anyio.move_on_after(FLUSH_SECONDS):
            await self._until(self._is_done)
        if is_stuck:
            self._leave(self._exit_code)

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except OSError:
            self._lose_reader()

    async def _watch_output(self) -> None:
        await self._wire.closed()
        self._lose_reader()

    def _lose_reader(self) -> None:
        """End: nothing is left to flush, ever."""
        self._outbox.discard()
        self.stop(STDOUT_CLOSED)

    async def _watch_signals(self) -> None:
        heard = signals.heard()
        try:
            with anyio.open_signal_receiver(*heard) as arrivals:
                signals.release()  # they were held since the start
                count = 0
                async for _ in arrivals:
                    count += 1
                    if count > 1:
                        self._draining.cancel()
                    self.stop()
        finally:  # all is answered, and what is left to do may wait for a thread that is stuck
            for number in heard:
                signal.signal(number, lambda *_: self._leave(self._exit_code))

    async def _watch_parent(self) -> None:
        if self._settings.parent_pid is not None:
            from openhuman_core.runtime.parent import wait_for_end  # few name one

            if await wait_for_end(self._settings.parent_pid):
                self.stop(PARENT_GONE)

    async def _watch_idleness(self) -> None:
        """Load what the first call needs once a peer that has had an answer pauses; no answer waits for it."""
        seen = -1
        while not self._vitals.answered or seen != self._reads:
            seen = self._reads
            await anyio.sleep(IDLE_SECONDS)
        if not self._input_ended:  # else no call will come that could need it
            self._load_ahead()

    async def _log_start(self) -> None:
        """Say that the program runs; a task of its own, so that a request that is already there comes first."""
        log.info("started", extra={"framing": self._settings.framing, "sandbox": self._settings.sandbox})
        if self._settings.ready:
            logging.announce("ready", pid=os.getpid(), version=__version__)

    def _change(self) -> None:
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._changed.is_set():
                self._changed = anyio.Event()
            await self._changed.wait()
