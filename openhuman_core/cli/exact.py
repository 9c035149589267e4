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
    """Read a payload, a value or `RawJson`; None for what Python cannot hold."""
    try:
        return json.loads(encode(payload), parse_float=Number, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def encode(value: Any, plain: Callable[[Any], bytes] = messages.encode) -> messages.RawJson:
    """Write a value as JSON, with numbers that `decode` read as they came, and what else there is by `plain`."""
    parts: list[bytes] = []
    left = [value]
    while left:  # a result may be nested deeper than functions can be
        item = left.pop()
        if isinstance(item, dict):
            members = [part for name, member in item.items() for part in (b",", plain(name), b":", member)]
            left += [b"}", *reversed(members[1:]), b"{"]
        elif isinstance(item, list):
            left += [b"]", *reversed([part for member in item for part in (b",", member)][1:]), b"["]
        elif isinstance(item, bytes):
            parts.append(item)
        else:
            parts.append(item.text.encode() if isinstance(item, messages.ExactFloat) else plain(item))
    return messages.RawJson(b"".join(parts))


def _integer(text: str) -> Any:
    return int(text) if len(text) <= MAX_DIGITS and text != "-0" else Number(text)
