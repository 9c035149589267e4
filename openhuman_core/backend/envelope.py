"""What the hosted API's answers mean: the payload inside an envelope, or the failure that it tells.

Source: the wire contract, sections 6 and 7.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from openhuman_core.backend.route import Effect, Route
from openhuman_core.errors import (
    BackendTimeout,
    BackendUnavailable,
    BadBackendResponse,
    Conflict,
    CoreError,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
)

REFUSALS: Mapping[int, type[CoreError]] = {403: Forbidden, 404: NotFound, 409: Conflict, 429: RateLimited}
# Refusals after which a payment may have happened all the same.
UNSURE_PAYMENTS = (408, 409, 425)


@dataclass(frozen=True, slots=True)
class Answer:
    """The hosted API's answer to a request on `route`; header names are lower-case."""

    route: Route
    status: int
    headers: Mapping[str, str]
    body: bytes


def payload_of(answer: Answer) -> bytes:
    """Give the payload as JSON text without line ends; raises the failure that the answer tells."""
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise _refusal(answer, _members(_json_text(answer.body)))
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise BadBackendResponse(f"{answer.route} answered with a redirect", **_facts(answer))
    if not answer.body:
        return b"null"
    text = _json_text(answer.body)
    if text is None:
        raise BadBackendResponse(f"{answer.route} answered with a body that is no JSON", **_facts(answer))
    members = _members(text)
    success = members.pop("success", None)
    if success == b"false":
        raise _refusal(answer, members)
    if success != b"true":
        return text
    for name in ("data", "user"):
        if members.get(name, b"null") != b"null":
            return members[name]
    return b"{%b}" % b",".join(b"%b:%b" % (json.dumps(name).encode(), value) for name, value in members.items())


def may_have_acted(failure: CoreError, effect: Effect) -> bool:
    """Tell whether a call that was sent and failed so may have acted, where that matters."""
    if effect.repeatable:
        return False
    unsure_payment = effect is Effect.MONEY and failure.facts.get("httpStatus") in UNSURE_PAYMENTS
    return unsure_payment or isinstance(failure, BadBackendResponse | BackendUnavailable | BackendTimeout)


def _json_text(body: bytes) -> bytes | None:
    """Put JSON on one line; None for what is no JSON."""
    try:
        text = body.decode().removeprefix("\ufeff")  # the next step lets broken UTF-8 pass in what it only skims
        raw = bytes(msgspec.json.decode(text, type=msgspec.Raw))
    except msgspec.DecodeError:
        return _json_text_with_lone_surrogates(text)
    except (UnicodeDecodeError, RecursionError):
        return None
    return raw.translate(None, b"\r\n")  # between tokens only: inside strings they are escaped


def _json_text_with_lone_surrogates(text: str) -> bytes | None:
    """Read again what JSON allows and the fast reader refuses: half of a surrogate pair, as of a name cut short."""
    try:
        return json.dumps(json.loads(text), separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None


def _members(text: bytes | None) -> dict[str, bytes]:
    """Split an object's text into its members' texts; anything else has none."""
    if text is None or not text.startswith(b"{"):
        return {}
    try:
        return {name: bytes(raw) for name, raw in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items()}
    except msgspec.DecodeError:  # half of a surrogate pair
        return {name: json.dumps(value).encode() for name, value in json.loads(text).items()}


def _refusal(answer: Answer, members: dict[str, bytes]) -> CoreError:
    status = answer.status
    reason = _reason(answer, members)
    kind = REFUSALS.get(status, BackendUnavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Rejected)
    limited = " (rate limit)" if kind is RateLimited and "rate limit" not in reason.lower() else ""
    failure = kind(
        f"{answer.route} failed ({f'{status} {_phrase(status)}'.strip()}): {reason}{limited}",
        **_facts(answer),
        errorCode=_value(members.get("errorCode")),
        details=_value(members.get("details")),
    )
    failure.reason = reason
    return failure


def _reason(answer: Answer, members: dict[str, bytes]) -> str:
    if not members:
        return _phrase(answer.status).lower() or "request unsuccessful"
    found = (_value(members.get(name)) for name in ("error", "message"))
    return next((reason for reason in found if isinstance(reason, str)), "request unsuccessful")


def _facts(answer: Answer) -> dict[str, Any]:
    return {
        "httpStatus": answer.status,
        "route": str(answer.route),
        "retryAfterMs": _retry_after_ms(answer.headers.get("retry-after")),
        "requestId": answer.headers.get("x-request-id"),
    }


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _value(text: bytes | None) -> Any:
    """Read a member; a number that no float can hold stays text."""
    return json.loads(text, parse_float=_finite) if text is not None else None


def _finite(text: str) -> float | str:
    return float(text) if math.isfinite(float(text)) else text


def _retry_after_ms(text: str | None) -> int | None:
    """Read a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text) * 1000
    try:
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError):  # no date, or one without a time zone
        return None
    return max(0, round(wait.total_seconds() * 1000))
