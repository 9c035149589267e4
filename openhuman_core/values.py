"""How the text of a setting is read: each of these gives the value, or raises `ValueError` saying what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal


def as_text(value: Any, parse: Callable[[str], Any]) -> str:
    """Write a value of TOML as a flag has it for `parse`: patterns may be a list there."""
    if isinstance(value, list) and parse is patterns:
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(text: str) -> float:
    """Read a number from 0 to 1,000,000."""
    value = float(text) if re.fullmatch(r"[\d.eE+-]{1,32}", text) else -1  # Python's own refusal repeats the text
    if not 0 <= value < 10**6:
        raise ValueError("expected a number from 0 to 1000000")
    return value


def count(text: str) -> int:
    """Read an integer of at least 1."""
    value = int(text) if re.fullmatch(r"\d{1,32}", text) else 0  # see above
    if value < 1:
        raise ValueError("expected an integer of at least 1")
    return value


def amount(text: str) -> Decimal:
    """Read an amount in USD."""
    from decimal import Decimal, InvalidOperation  # few set a limit, and start-up pays for each import

    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("expected an amount in USD") from None
    if not value.is_finite() or value < 0:
        raise ValueError("expected an amount in USD of at least 0")
    return value


def flag(text: str) -> bool:
    """Read true or false, of the usual words for them."""
    try:
        return {"1": True, "true": True, "yes": True, "": False, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def patterns(text: str) -> tuple[str, ...]:
    """Read patterns of methods' names, with commas between them."""
    found = tuple(part.strip().removeprefix("openhuman.") for part in text.split(","))
    if not all(re.fullmatch(r"[\w.*?\[\]!-]+", part) for part in found):
        raise ValueError("expected patterns such as team_*, with commas between them")
    return found


def text(given: str) -> str:
    """Read a text that is not empty."""
    if not given.strip():
        raise ValueError("expected something")
    return given.strip()


def path(given: str) -> Path:
    """Read the path of a file."""
    return Path(text(given))


def profile_name(text: str) -> str:
    """Read the name of a profile."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text):  # one directory each, on file systems without cases too
        raise ValueError("expected a name of at most 64 lower-case letters, digits, - and _")
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """Make what reads one of `words`."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse
