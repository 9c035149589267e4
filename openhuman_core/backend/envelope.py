"""What the hosted API's answers mean: the payload inside an envelope, or the failure that it tells.

Source: the wire contract, sections 6 and 7.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
# Longer integers cost more than they can mean, and past 4,300 digits Python refuses them.
MAX_DIGITS = 1000
# What a refusal says past this nobody reads, and all of it is searched for tokens while others wait.
MAX_REASON, MAX_DETAILS_BYTES = 4096, 2**16
LONGEST_WAIT_MS = 2**53 - 1  # the largest integer that every JSON reader holds


@dataclass(slots=True)
class Answer:
    """The hosted API's answer to a request on `route`; header names are lower-case, and the last of a name counts."""

    route: Route
    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray = b""


def payload_of(answer: Answer) -> bytes:
    """Give the payload as JSON text without line ends; raises the failure that the answer tells."""
    text, members = None, _quick_members(answer.body)
    if members is None:
        text, members = _closer_look(answer.body)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise _refusal(answer, members)
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise BadBackendResponse(
            f"{answer.route} answered with {answer.status}, which is no answer", **facts_of(answer)
        )
    if not answer.body:
        return b"null"
    if text is None and members is None:
        raise BadBackendResponse(f"{answer.route} answered with a body that is no JSON", **facts_of(answer))
    success = None if members is None else members.get("success")
    if members is None or success not in (b"true", b"false"):
        return _on_one_line(bytes(answer.body.strip())) if text is None else text
    if success == b"false":
        raise _refusal(answer, members)
    for name in ("data", "user"):
        if members.get(name, b"null") != b"null":
            return members[name]
    rest = (b"%b:%b" % (json.dumps(name).encode(), value) for name, value in members.items() if name != "success")
    return b"{%b}" % b",".join(rest)


def read_json(text: bytes) -> Any:
    """Read JSON text that came from the hosted API, as far as Python can hold it; None where it cannot.

    Numbers that no float or integer can hold stay text.
    """
    try:
        return json.loads(text, parse_float=_float_or_text, parse_int=_int_or_text)
    except (ValueError, RecursionError):
        return None


def facts_of(answer: Answer) -> dict[str, Any]:
    """Give what is told of any answer that is no success."""
    return {
        "httpStatus": answer.status,
        "route": str(answer.route),
        "retryAfterMs": _retry_after_ms(answer.headers.get("retry-after")),
        "requestId": answer.headers.get("x-request-id"),
    }


def is_unsure(failure: CoreError, effect: Effect) -> bool:
    """Tell whether a call that was sent and failed so may have acted."""
    unsure_payment = effect is Effect.MONEY and failure.facts.get("httpStatus") in UNSURE_PAYMENTS
    return unsure_payment or isinstance(failure, BadBackendResponse | BackendUnavailable | BackendTimeout)


def _closer_look(body: bytes | bytearray) -> tuple[bytes | None, dict[str, bytes] | None]:
    """Put JSON on one line, and split an object into its members' texts; None for what is no JSON, and no object.

    JSON allows what the fast reader refuses: half of a surrogate pair, as of a name cut short.
    """
    try:
        text = body.decode().removeprefix("\ufeff")  # the next step lets broken UTF-8 pass in what it only skims
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except msgspec.DecodeError:
            json.loads(text, parse_constant=_reject_constant, parse_int=_int_or_text)
        line = _on_one_line(text.strip().encode())
        return line, _split(line.decode()) if line.startswith(b"{") else None
    except (ValueError, RecursionError):
        return None, None


def _on_one_line(raw: bytes) -> bytes:
    """Leave line ends out of JSON; they stand between tokens only: inside strings they are escaped."""
    return raw.translate(None, b"\r\n") if b"\n" in raw or b"\r" in raw else raw


def _quick_members(body: bytes | bytearray) -> dict[str, bytes] | None:
    """Split an object into its members' texts in one look; None for what takes a closer one."""
    try:
        if not body.isascii():  # most are, and need no copy as text
            body.decode()  # the next step lets broken UTF-8 pass in what it only skims
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    return {name: _on_one_line(bytes(raw)) for name, raw in members.items()}


def _split(text: str) -> dict[str, bytes]:
    """Split the text of an object that is known to be JSON, member by member."""
    members: dict[str, bytes] = {}
    decoder = json.JSONDecoder(parse_int=_int_or_text)
    at = _next_token(text, 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        start = _next_token(text, _next_token(text, at) + 1)  # behind the colon
        _, at = decoder.raw_decode(text, start)
        members[name] = text[start:at].encode()
        at = _next_token(text, at)
        if text[at] == ",":
            at = _next_token(text, at + 1)
    return members


def _next_token(text: str, at: int) -> int:
    while text[at] in " \t":
        at += 1
    return at


def _reject_constant(name: str) -> Any:
    raise ValueError(name)


def _refusal(answer: Answer, members: dict[str, bytes] | None) -> CoreError:
    status = answer.status
    reason = _reason(answer, members)
    kind = REFUSALS.get(status, BackendUnavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Rejected)
    limited = " (rate limit)" if kind is RateLimited and "rate limit" not in reason else ""
    failure = kind(
        f"{answer.route} failed ({f'{status} {_phrase(status)}'.strip()}): {reason}{limited}",
        **facts_of(answer),
        errorCode=_short_json(members, "errorCode"),
        details=_short_json(members, "details"),
    )
    failure.reason = reason
    return failure


def _reason(answer: Answer, members: dict[str, bytes] | None) -> str:
    """Give the hosted API's own reason; nothing of a body that is no object is repeated."""
    if members is None:
        return _phrase(answer.status).lower() or "request unsuccessful"
    found = (read_json(members[name]) for name in ("error", "message") if members.get(name, b"").startswith(b'"'))
    reason = next((reason for reason in found if isinstance(reason, str) and reason), "request unsuccessful")
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…"


def _short_json(members: dict[str, bytes] | None, name: str) -> Any:
    """Read a member of a refusal; one that is too long is left out."""
    text = (members or {}).get(name, b"null")
    return read_json(text) if len(text) <= MAX_DETAILS_BYTES else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _float_or_text(text: str) -> float | str:
    return float(text) if math.isfinite(float(text)) else text


def _int_or_text(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def _retry_after_ms(text: str | None) -> int | None:
    """Read a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(int(text[:MAX_DIGITS]) * 1000, LONGEST_WAIT_MS)
    ahead = seconds_ahead(text)
    return None if ahead is None else max(0, round(ahead * 1000))


def seconds_ahead(date: str | None) -> float | None:
    """Give how far an HTTP date lies ahead of now, in seconds; None for what is none."""
    from email.utils import parsedate_to_datetime  # most answers hold no date that matters

    try:
        return (parsedate_to_datetime(date or "") - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no date, one without a time zone, or one that no calendar has
        return None
