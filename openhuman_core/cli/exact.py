"""JSON whose numbers keep the digits that they came in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from openhuman_core.backend.envelope import MAX_DIGITS
from openhuman_core.protocol import messages


class Number(messages.ExactFloat):
    """A number that is written in the digits that it came in."""

    __slots__ = ()


Number.__name__ = "float"  # JMESPath goes by the name


def decode(payload: Any) -> Any:
    """Read a payload, a value or `RawJson`; None for what Python cannot hold, or what is nested too deep for a call."""
    text = encode(payload).decode(errors="surrogatepass")
    try:
        value = json.loads(text, parse_float=Number, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return None if messages.is_too_deep(value, text) else value


def encode(value: Any, plain: Callable[[Any], bytes] = messages.encode) -> messages.RawJson:
    """Write a value as JSON, with numbers that `decode` read as they came, and what else there is by `plain`."""
    if isinstance(value, dict):
        members = (b"%b:%b" % (plain(name), encode(item, plain)) for name, item in value.items())
        return messages.RawJson(b"{%b}" % b",".join(members))
    if isinstance(value, list):
        return messages.RawJson(b"[%b]" % b",".join(encode(item, plain) for item in value))
    return messages.RawJson(value.text.encode() if isinstance(value, messages.ExactFloat) else plain(value))


def _integer(text: str) -> Any:
    return int(text) if len(text) <= MAX_DIGITS and text != "-0" else Number(text)
