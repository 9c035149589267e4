"""What a caller is told of a call that failed: where to look, whether money moved, and no secret that was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from openhuman_core.backend.route import Effect, Sending
from openhuman_core.errors import Cancelled, CoreError, InternalError, InvalidRequest, OutcomeUnknown, ShuttingDown
from openhuman_core.runtime import logging, redaction
from openhuman_core.runtime.records import settling_hint

if TYPE_CHECKING:  # start-up pays for each import, and the invoker makes its failures here
    from openhuman_core.registry.method import Method
    from openhuman_core.runtime.invoke import Invocation, Record


def for_caller(
    failure: CoreError, method: Method, sending: Sending | None = None, secrets: Sequence[str] = ()
) -> CoreError:
    """Add where to look when the outcome is unknown, and whether money moved for every method that pays.

    That depends on how far `sending` had come; without it nothing was sent. The hosted API's words may repeat the
    `secrets` that it was sent; they are covered. Any other token is where the failure leaves the program.
    """
    if secrets:
        failure.message, failure.facts = redaction.without_tokens([failure.message, failure.facts], secrets)
    if isinstance(failure, OutcomeUnknown) and method.verify and method.verify not in failure.message:
        failure.message = f"{failure.message}; {method.verify} shows whether it acted"
        failure.facts.setdefault("hint", f"Look at {method.verify} before making the call again.")
    if method.effect is Effect.MONEY:
        moved = {"not_sent": "no", "unknown": "unknown", "completed": "yes"}
        failure.facts.setdefault("moneyMoved", moved[sending.effect if sending else "not_sent"])
    return failure


def given_up(invocation: Invocation | None) -> CoreError:
    """Say of a call that did not end before the drain's deadline what became of it."""
    return _cut_short(ShuttingDown("the program stopped before the call ended"), invocation)


def cancelled(invocation: Invocation | None) -> CoreError:
    """Say of a call that its caller cancelled what became of it."""
    return _cut_short(Cancelled("the call was cancelled"), invocation)


def _cut_short(failure: CoreError, invocation: Invocation | None) -> CoreError:
    if invocation is None or invocation.method.effect is Effect.READ:
        return failure
    method, sent = invocation.method, invocation.sending.effect
    failure.facts["effect"] = sent
    if sent != "not_sent" and not method.effect.repeatable:
        failure.facts["hint"] = settling_hint(method, invocation.key)
    return for_caller(failure, method, invocation.sending)


def duplicate(invocation: Invocation | None) -> CoreError:
    """Say that an id is in use."""
    failure = InvalidRequest("a call with this id is in flight already")
    return for_caller(failure, invocation.method) if invocation else failure


def bug(problem: Exception, record: Record, sending: Sending | None) -> CoreError:
    """Log an exception that nobody foresaw, and give what a caller may know of it."""
    logging.log.error("bug", exc_info=problem, extra={"correlationId": record.correlation_id})
    failure = InternalError(record.correlation_id)
    return for_caller(failure, record.method, sending) if record.method else failure
