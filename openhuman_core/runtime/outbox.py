"""What goes out: answers are framed, joined where they are small, and written by one task."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel

from openhuman_core.backend.route import LARGE_BYTES
from openhuman_core.errors import CoreError
from openhuman_core.protocol import messages
from openhuman_core.protocol.framing import Decoder, frame
from openhuman_core.protocol.messages import Call, Parts
from openhuman_core.runtime.builtins import Vitals
from openhuman_core.runtime.redaction import without_tokens
from openhuman_core.runtime.stdio import Wire

MAX_UNREAD_BYTES = 2**20

# Takes one answer; an empty one is that of a notification.
Sink = Callable[[Parts], None]


class Outbox:
    """Answers on their way to the peer, in the framing that the peer speaks; `on_change` is told what was written.

    `unread_bytes` counts what is written too, `waiting_bytes` only what is not begun.
    """

    def __init__(self, wire: Wire, decoder: Decoder, on_change: Callable[[], None]) -> None:
        self.unread_bytes = self.waiting_bytes = 0
        self._wire = wire
        self._decoder = decoder
        self._on_change = on_change
        self._small: list[bytes] = []
        self._large: list[Parts] = []
        self._closed = False
        self._filled = anyio.Event()

    def send(self, answer: Parts, *, is_progress: bool = False) -> None:
        """Queue an answer; a small one goes out before every large one that is not begun.

        So does what a call tells on its way, whatever its size: its answer may be small.
        """
        if answer and not self._closed:
            if not self._small and not self._large:
                self._filled.set()
            framed = frame(answer, self._decoder.framing)
            size = sum(map(len, framed))
            if size > LARGE_BYTES and not is_progress:
                self._large.append(framed)
            else:
                self._small.append(b"".join(framed))
            self.unread_bytes += size
            self.waiting_bytes += size

    @property
    def has_room(self) -> bool:
        """Whether so little waits that more should be read: a short answer goes out once the large one before is."""
        return self.waiting_bytes < MAX_UNREAD_BYTES

    @property
    def is_behind(self) -> bool:
        """Whether so much is unread that no more should be made."""
        return self.unread_bytes >= MAX_UNREAD_BYTES

    async def run(self) -> None:
        """Write what is queued, the small answers at once, for ever; raises `OSError` when the reader is gone."""
        while True:
            await self._filled.wait()
            if self._large:
                # What came while the large answer was made is answered first. The event loop takes one turn to notice
                # it and one to read it; without them core.ping beside a page has to wait half as long again.
                for _ in range(2):
                    await anyio.lowlevel.checkpoint()
            parts = [b"".join(self._small)]
            self._small.clear()
            if self._large:
                parts += self._large.pop(0)
            if not self._large:
                self._filled = anyio.Event()
            self.waiting_bytes -= sum(map(len, parts))
            for part in parts:
                await self._wire.write(part)
                if not self._closed:
                    self.unread_bytes -= len(part)
                self._on_change()

    def discard(self) -> None:
        """Drop what is queued and whatever comes: nobody will read it."""
        self._closed = True
        self._small.clear()
        self._large.clear()
        self.unread_bytes = self.waiting_bytes = 0
        self._on_change()


class Replies:
    """Hands over what a call came to, and counts it."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def send(self, call: Call, outcome: Parts | CoreError, sink: Sink) -> None:
        """Give `sink` the encoded answer or the failure of a call; a notification is answered by nothing."""
        if not call.answered:
            sink(())
        elif isinstance(outcome, CoreError):
            self.refuse(call.id, outcome, sink)
        else:
            self._vitals.answered += 1
            sink(outcome)

    def refuse(self, call_id: messages.Id, failure: CoreError, sink: Sink) -> None:
        """Give `sink` a failure."""
        self._vitals.answered += 1
        self._vitals.errors[failure.kind] += 1
        failure.message, failure.facts = without_tokens([failure.message, failure.facts])
        sink(messages.error(call_id, failure))


class BatchAnswers:
    """The answers of one batch, joined when the last one is there; notifications leave nothing."""

    def __init__(self, members: int, send: Sink) -> None:
        self._left = members
        self._answers: list[Parts] = []
        self._send = send

    def take(self, answer: Parts) -> None:
        """Take one member's answer."""
        self._left -= 1
        if answer:
            self._answers.append(answer)
        if not self._left and self._answers:
            self._send(messages.batch(self._answers))
