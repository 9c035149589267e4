"""One peer: read, dispatch, write, and end.

Calls that touch nothing outside the process are answered where they are read; all others become tasks, as many at a
time as the settings allow. What waits is bounded, and so are answers that nobody reads: past the bound reading stops.
"""

from __future__ import annotations

import math
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from openhuman_core.errors import CoreError, InvalidRequest
from openhuman_core.protocol import messages
from openhuman_core.protocol.framing import Decoder
from openhuman_core.protocol.messages import Batch, Call, Malformed
from openhuman_core.registry.registry import Registry
from openhuman_core.runtime.builtins import BUILTINS, Program, Vitals, call_builtin
from openhuman_core.runtime.invoke import Invocation, Invoker, Record, bug, given_up, told
from openhuman_core.runtime.logging import log
from openhuman_core.runtime.outbox import BatchAnswers, Outbox, Sink
from openhuman_core.runtime.stdio import Wire
from openhuman_core.settings import Settings

MAX_WAITING = 1024
MAX_UNREAD_BYTES = 2**20

DRAINED, FORCED, STDOUT_CLOSED = 0, 20, 22


@dataclass(slots=True)
class Pending:
    """An accepted call, from its checks to its answer."""

    call: Call
    invocation: Invocation
    record: Record
    sink: Sink


class Session:
    """Serves one peer over `wire` until its input ends or a stop is asked for."""

    def __init__(self, registry: Registry, invoker: Invoker, settings: Settings, wire: Wire) -> None:
        self._invoker = invoker
        self._settings = settings
        self._vitals = Vitals()
        self._program = Program(registry, settings, self._vitals, self.stop)
        self._wire = wire
        self._decoder = Decoder(settings.framing, settings.max_message_bytes)  # type: ignore[arg-type]
        self._ids: set[messages.Id] = set()
        self._waiting: deque[Pending] = deque()
        self._exit_code = DRAINED
        self._reading = anyio.CancelScope()
        self._draining = anyio.CancelScope(deadline=math.inf)
        self._changed = anyio.Event()
        self._outbox = Outbox(wire, self._decoder, self._change)

    async def run(self) -> int:
        """Serve until the end; gives the exit code of the wire contract's section 9."""
        async with anyio.create_task_group() as everything:
            self._everything = everything
            async with anyio.create_task_group() as calls:
                self._calls = calls
                everything.start_soon(self._write)
                everything.start_soon(self._watch_output)
                everything.start_soon(self._watch_signals)
                everything.start_soon(self._log_start)
                with self._reading:
                    await self._read()
                with self._draining:
                    await self._until(lambda: not self._vitals.in_flight and not self._waiting)
                    await self._until(lambda: not self._outbox.unread_bytes)
                self._give_up(calls)
            with anyio.move_on_after(0.5):  # what was given up is answered, if anyone reads it
                await self._until(lambda: not self._outbox.unread_bytes)
            everything.cancel_scope.cancel()
        return self._exit_code

    def stop(self) -> None:
        """Take no more, and give what was accepted until the drain's deadline."""
        if not self._vitals.draining:
            self._vitals.draining = True
            self._draining.deadline = anyio.current_time() + self._settings.drain_seconds
            self._reading.cancel()

    async def _read(self) -> None:
        while data := await self._wire.read():
            for item in self._decoder.feed(data):
                self._take(item)
            await self._until(lambda: len(self._waiting) < MAX_WAITING and self._outbox.unread_bytes < MAX_UNREAD_BYTES)
        for item in self._decoder.end():
            self._take(item)

    def _take(self, item: bytes | Malformed) -> None:
        message = messages.read(item, self._settings.max_batch) if isinstance(item, bytes) else item
        if isinstance(message, Batch):
            collected = BatchAnswers(len(message.members), self._outbox.send)
            for member in message.members:
                self._dispatch(member, collected.take)
        else:
            self._dispatch(message, self._outbox.send)

    def _dispatch(self, message: Call | Malformed, sink: Sink) -> None:
        if isinstance(message, Malformed):
            self._fail(message.id, message.error, sink)
        elif message.method in BUILTINS:
            self._answer_inline(message, sink)
        else:
            self._accept(message, sink)

    def _answer_inline(self, call: Call, sink: Sink) -> None:
        try:
            self._check_id(call)
            answer = call_builtin(call.method, call.params, self._program)
        except CoreError as failure:
            self._answer_failure(call, failure, sink)
        else:
            self._answer(call, messages.result(call.id, answer) if call.answered else b"", sink)

    def _accept(self, call: Call, sink: Sink) -> None:
        record = Record()
        try:
            invocation = self._invoker.prepare(call.method, call.params, record, self._tell_progress)
            try:
                self._check_id(call)
            except InvalidRequest as failure:
                told(failure, invocation.method)
                raise
            if self._vitals.draining:
                raise given_up(invocation)
        except CoreError as failure:
            record.end(failure)
            self._answer_failure(call, failure, sink)
            return
        if call.answered and call.id is not None:
            self._ids.add(call.id)
        self._waiting.append(Pending(call, invocation, record, sink))
        self._start_waiting()

    def _check_id(self, call: Call) -> None:
        if call.answered and call.id is not None and call.id in self._ids:
            raise InvalidRequest("a call with this id is in flight already")

    def _tell_progress(self, token: str | int, value: Any) -> None:
        self._outbox.send(messages.progress(token, value))

    def _start_waiting(self) -> None:
        while self._waiting and self._vitals.in_flight < self._settings.max_in_flight:
            self._vitals.in_flight += 1
            self._calls.start_soon(self._run, self._waiting.popleft())
        self._vitals.queued = len(self._waiting)

    async def _run(self, pending: Pending) -> None:
        """Make one call; the wire's catch-all stands here, so that a bug answers its caller and harms no other."""
        failure: CoreError | None = None
        answer = b""
        try:
            outcome = await self._invoker.run(pending.invocation)
            answer = messages.result(pending.call.id, outcome.on_the_wire())
        except CoreError as problem:
            failure = problem
        except anyio.get_cancelled_exc_class():
            self._finish(pending, given_up(pending.invocation), b"")
            raise
        except Exception as problem:  # noqa: BLE001 - see above
            failure = bug(problem, pending.record, pending.invocation.sending)
        self._finish(pending, failure, answer)

    def _finish(self, pending: Pending, failure: CoreError | None, answer: bytes) -> None:
        pending.record.end(failure)
        self._vitals.in_flight -= 1
        self._ids.discard(pending.call.id)
        if failure is not None:
            self._answer_failure(pending.call, failure, pending.sink)
        else:
            self._answer(pending.call, answer if pending.call.answered else b"", pending.sink)
        self._start_waiting()
        self._change()

    def _give_up(self, calls: TaskGroup) -> None:
        """Answer what is left at the drain's deadline."""
        if not (self._vitals.in_flight or self._waiting or self._outbox.unread_bytes):
            return
        self._exit_code = self._exit_code or FORCED
        while self._waiting:
            pending = self._waiting.popleft()
            failure = given_up(pending.invocation)
            pending.record.end(failure)
            self._answer_failure(pending.call, failure, pending.sink)
        calls.cancel_scope.cancel()

    def _answer_failure(self, call: Call, failure: CoreError, sink: Sink) -> None:
        if call.answered:
            self._fail(call.id, failure, sink)
        else:
            self._answer(call, b"", sink)

    def _fail(self, call_id: messages.Id, failure: CoreError, sink: Sink) -> None:
        self._vitals.errors[failure.kind] += 1
        self._vitals.answered += 1
        sink(messages.error(call_id, failure))

    def _answer(self, call: Call, answer: bytes, sink: Sink) -> None:
        self._vitals.answered += call.answered
        sink(answer)

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
        self._exit_code = STDOUT_CLOSED
        self._outbox.discard()
        self.stop()

    async def _watch_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                if self._vitals.draining:
                    self._draining.cancel()
                self.stop()

    async def _log_start(self) -> None:
        """Say that the program runs; a task of its own, so that a request that is already there comes first."""
        log.info("started", extra={"framing": self._settings.framing, "sandbox": self._settings.sandbox})

    def _change(self) -> None:
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed = anyio.Event()
            await self._changed.wait()
