"""Frames to calls, and outcomes to answers; what a peer got wrong is a value, never an exception.

Source: the JSON-RPC 2.0 specification, sections 4 to 6.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, NewType

from openhuman_core.errors import CoreError, InvalidRequest, ParseError

Id = str | int | float | None

# The Language Server Protocol's notification that a request is no longer wanted.
CANCEL = "$/cancelRequest"

# Deeper nests serve no method; the limit keeps every later step that recurses far from the interpreter's own.
MAX_DEPTH = 128


# JSON text, as UTF-8 without line ends, that goes out as it came in.
RawJson = NewType("RawJson", bytes)
# An answer's text in pieces, joined where it goes out at the earliest: each copy of a large one holds everybody up.
Parts = tuple[bytes, ...]


class ExactFloat(float):
    """A number of an id, which goes out in the digits that it came in."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Call(NamedTuple):
    """A request, or a notification when it has no id of its own (`answered` is false)."""

    method: str
    params: Any
    id: Id
    answered: bool


class Malformed(NamedTuple):
    """What is no request: the error to answer, under the id where that could be read."""

    error: CoreError
    id: Id = None


class Batch(NamedTuple):
    """Several calls in one frame; their answers go out together."""

    members: list[Call | Malformed]


def read(frame: bytes, max_batch: int) -> Call | Malformed | Batch:
    """Read one frame; a batch longer than `max_batch` is refused whole."""
    message = decode(frame)
    if isinstance(message, Malformed):
        return message
    if isinstance(message, list):
        if any(map(_has_float_id, message)):
            _restore_ids(message, frame)
        return _batch(message, max_batch)
    if _has_float_id(message):
        _restore_ids([message], frame)
    return _call(message)


def _has_float_id(member: Any) -> bool:
    return isinstance(member, dict) and type(member.get("id")) is float


def _restore_ids(members: list[Any], frame: bytes) -> None:
    """Put ids that are no integers back in the digits that they came in."""
    exact = _EXACT_DECODER.decode(frame.decode())
    for member, read_again in zip(members, exact if isinstance(exact, list) else [exact], strict=True):
        if isinstance(member, dict) and "id" in member:
            member["id"] = read_again["id"]


def decode(frame: bytes) -> Any:
    """Read JSON as strictly as the wire does; gives its value, or `Malformed`."""
    try:
        text = frame.decode()
    except UnicodeDecodeError:
        return Malformed(ParseError("the frame is not UTF-8"), first_id(frame.decode(errors="replace")))
    try:
        message = _DECODER.decode(text)
    except RecursionError:
        return Malformed(_too_deep(), first_id(text))
    except ValueError:
        return _unparsed(text)
    flaw = _flaw(message, text)
    return message if flaw is None else Malformed(flaw, _id_of(message))


def id_to_cancel(notification: Call) -> Id:
    """Give the id that a `$/cancelRequest` names; None where it names none."""
    params = notification.params
    call_id = params.get("id") if isinstance(params, dict) else None
    return call_id if is_id(call_id) else None


def is_id(value: Any) -> bool:
    """Tell whether a value can be an id: a string, a finite number or null."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def result(call_id: Id, value: Any, logs: tuple[str, ...] = ()) -> Parts:
    """Encode a successful answer; `RawJson` passes as it is."""
    return (b'{"jsonrpc":"2.0","id":%b,"result":' % encode(call_id), *outcome(value, logs), b"}")


def error(call_id: Id, failure: CoreError) -> Parts:
    """Encode a failed answer."""
    body = {"code": failure.code, "message": failure.message, "data": failure.data()}
    return (b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (encode(call_id), encode(body)),)


def outcome(value: Any, logs: tuple[str, ...]) -> Parts:
    """Encode what a caller sees as the result: the bare value, wrapped where there are log lines beside it."""
    return (b'{"result":', encode(value), b',"logs":%b}' % encode(logs)) if logs else (encode(value),)


def progress(token: str | int, value: Any) -> Parts:
    """Encode what a call tells on its way, for the caller who gave the token."""
    params = {"token": token, "value": value}
    return (encode({"jsonrpc": "2.0", "method": "$/progress", "params": params}),)


def batch(answers: list[Parts]) -> Parts:
    """Join the answers of one batch."""
    separated = [part for answer in answers for part in (b",", *answer)]
    return (b"[", *separated[1:], b"]")


def encode(value: Any) -> bytes:
    """Encode a value as ASCII, so that no text of ours can break a frame or fail to encode; `RawJson` stays."""
    if isinstance(value, bytes):
        return value
    if type(value) is int:
        return b"%d" % value
    text = value.text if type(value) is ExactFloat else _ENCODER.encode(value)
    return text.encode("ascii")


def _reject_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
_LENIENT_DECODER = json.JSONDecoder()
_EXACT_DECODER = json.JSONDecoder(parse_float=ExactFloat)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _unparsed(text: str) -> Malformed:
    """Say why the text is no JSON; where NaN or Infinity alone spoil it, the id can still be read."""
    try:
        message = _LENIENT_DECODER.decode(text)
    except json.JSONDecodeError as problem:
        return Malformed(ParseError(f"the frame is not JSON at character {problem.pos}"))
    except (ValueError, RecursionError):  # the interpreter's own limits on digits and on depth
        return Malformed(ParseError("the frame holds a number that is too long, or is nested too deep"), first_id(text))
    return Malformed(ParseError("NaN and Infinity are not JSON"), _id_of(message))


def first_id(text: str) -> Id:
    """Find the id among the members that can be read before the first that cannot; one that was damaged is none."""
    at = text.find("{") + 1
    try:
        while True:
            name, at = _LENIENT_DECODER.raw_decode(text, _next_token(text, at))
            value, at = _LENIENT_DECODER.raw_decode(text, _next_token(text, at))
            if name == "id":
                return value if is_id(value) and _is_unicode(value) and "\ufffd" not in str(value) else None
    except (ValueError, RecursionError):
        return None


def _next_token(text: str, at: int) -> int:
    while text[at : at + 1] in (*" \t\r\n:,",):
        at += 1
    return at


def _flaw(message: Any, text: str) -> CoreError | None:
    """Look for what the decoder lets pass: nests that are too deep, and text that is no Unicode."""
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(message, MAX_DEPTH):
        return _too_deep()
    if "\\u" in text and not _is_unicode(message):
        return ParseError("a string holds a lone surrogate")
    return None


def _deeper_than(value: Any, levels: int) -> bool:
    """Walk level by level, without recursion."""
    containers = [value]
    for _ in range(levels):
        children = (child for item in containers for child in (item.values() if isinstance(item, dict) else item))
        containers = [child for child in children if isinstance(child, dict | list)]
        if not containers:
            return False
    return True


def _is_unicode(message: Any) -> bool:
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep() -> ParseError:
    return ParseError(f"the frame is nested deeper than {MAX_DEPTH} levels")


def _batch(members: list[Any], max_batch: int) -> Batch | Malformed:
    if not members:
        return Malformed(InvalidRequest("the batch is empty"))
    if len(members) > max_batch:
        return Malformed(InvalidRequest(f"the batch holds more than {max_batch} calls"))
    return Batch([_call(member) for member in members])


def _call(message: Any) -> Call | Malformed:
    if not isinstance(message, dict):
        return Malformed(InvalidRequest("a request is an object"))
    call_id = message.get("id")
    if not is_id(call_id):
        return Malformed(InvalidRequest("id must be a string, a number or null"))
    if "method" not in message and message.keys() & {"result", "error"}:
        return Malformed(InvalidRequest("a response is no request"))
    if message.get("jsonrpc") != "2.0":
        return Malformed(InvalidRequest('jsonrpc must be "2.0"'), call_id)
    method = message.get("method")
    if not isinstance(method, str):
        return Malformed(InvalidRequest("method must be a string"), call_id)
    return Call(method, message.get("params"), call_id, "id" in message)


def _id_of(message: Any) -> Id:
    call_id = message.get("id") if isinstance(message, dict) else None
    return call_id if is_id(call_id) and _is_unicode(call_id) else None
