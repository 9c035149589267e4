"""Which failures are tried again, and after how long.

The loop around a call is four lines; what a retry library could add is a pause that knows neither effects nor
Retry-After, so none is used. Source of the rules: full jitter as in "Exponential Backoff And Jitter" (AWS
Architecture Blog, 2015), Retry-After as in RFC 9110.
"""

from __future__ import annotations

import random

from openhuman_core.backend.route import Effect
from openhuman_core.errors import BackendTimeout, BackendUnavailable, CoreError

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_RETRY_AFTER_MS = 30_000
# A call that pays is sent again only this soon: later its caller may have given up, and pay again by hand.
LONGEST_RETRY_AFTER_MS_ONCE = 2_000

PASSING_STATUSES = (408, 429, 500, 502, 503, 504)
# With a Retry-After these say that the call was put off, not begun.
PUT_OFF_STATUSES = (429, 503)


def pause_before_retry(failure: CoreError, effect: Effect, attempt: int, *, sent: bool) -> float | None:
    """Give the seconds to wait before the call is tried again after its `attempt` failed; None says to leave it."""
    if attempt >= ATTEMPTS or not _may_retry(failure, effect, sent=sent):
        return None
    retry_after = failure.facts.get("retryAfterMs")
    if retry_after is None:
        return random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)))  # noqa: S311
    longest = LONGEST_RETRY_AFTER_MS if effect.repeatable else LONGEST_RETRY_AFTER_MS_ONCE
    return float(retry_after / 1000) if retry_after <= longest else None


def _may_retry(failure: CoreError, effect: Effect, *, sent: bool) -> bool:
    status = failure.facts.get("httpStatus")
    if effect.repeatable:
        lost = status is None and isinstance(failure, BackendUnavailable | BackendTimeout)
        return lost or status in PASSING_STATUSES
    never_connected = not sent and isinstance(failure, BackendUnavailable | BackendTimeout)
    return never_connected or (status in PUT_OFF_STATUSES and "retryAfterMs" in failure.facts)
