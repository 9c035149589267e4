"""A call on its way: what is known of it, and how it fails.

    state      kept by `Calls` in          counted as   once it is cut, it is answered
    accepted   `_accepted`, `_unchecked`   queued       by its check
    waiting    `_accepted`, `_waiting`     queued       at once
    running    `_accepted`                 in flight    at the end of its scope, which is cancelled
    answered                               answered

A call goes down this table, and may leave states out. `Calls.abandon` answers whatever is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from openhuman_core.errors import CoreError
from openhuman_core.protocol.messages import Call
from openhuman_core.runtime.failures import bug
from openhuman_core.runtime.invoke import Invocation, Record
from openhuman_core.runtime.outbox import Sink

Cut = Callable[[Invocation | None], CoreError]


class Accepted:
    """A call on its way; `size` is what it took on the wire, in bytes.

    `cut` makes the failure of a call that is not to go on, as far as is known of it. `watch` ends when a call that
    waits for its turn has it; `scope` is the call itself, once it is made. `has_turn` says that it `is_large` and holds
    one of the turns of such answers.
    """

    def __init__(self, call: Call, sink: Sink, size: int) -> None:
        self.call = call
        self.sink = sink
        self.size = size
        self.record = Record()
        self.cut: Cut | None = None
        self.invocation: Invocation | None = None
        self.watch: anyio.CancelScope | None = None
        self.scope: anyio.CancelScope | None = None
        self.running = False
        self.is_large = self.has_turn = False
        self.failure: CoreError | None = None

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Keep how it fails; the wire's catch-all stands here, so that a bug answers its caller and harms no other."""
        try:
            yield
        except CoreError as failure:
            # Its frames hold the call and what was read for it: a ring that only the garbage collector would find.
            self.failure = failure.with_traceback(None)
            failure.__cause__ = failure.__context__ = None
        except Exception as problem:  # noqa: BLE001 - see above
            sending = self.invocation.sending if self.invocation else None
            self.failure = bug(problem, self.record, sending)
