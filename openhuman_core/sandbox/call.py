"""What a handler is given: who asks, for which team, and a request whose members are read by rule."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from openhuman_core.sandbox.envelope import Refusal, invalid
from openhuman_core.sandbox.store import Row, Store

MOST_USD = 999_999.99  # Stripe's largest charge


class Rule(NamedTuple):
    """What a value must be: whether one fits, and the words in which one that does not is refused."""

    fits: Callable[[Any], object]
    words: str


def whole(least: int, most: int = 2**31 - 1) -> Rule:
    """Make the rule of a whole number."""
    words = f"must be a whole number from {least} to {most}"
    return Rule(lambda value: type(value) is int and least <= value <= most, words)


def one_of(*values: str) -> Rule:
    """Make the rule of a string with known values."""
    return Rule(lambda value: value in values, f"must be one of: {', '.join(values)}")


def list_of(rule: Rule) -> Rule:
    """Make the rule of an array."""
    words = f"must be an array; each {rule.words}"
    return Rule(lambda value: isinstance(value, list) and all(map(rule.fits, value)), words)


def matching(pattern: str, what: str) -> Rule:
    """Make the rule of a string of a form."""
    return Rule(lambda value: isinstance(value, str) and re.fullmatch(pattern, value), f"must be {what}")


def _in_cents(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MOST_USD and to_cents(value) / 100 == value


TEXT = matching(r"\s*\S(?s:.*)", "a string that is not empty")
FLAG = Rule(lambda value: isinstance(value, bool), "must be a boolean")
OBJECT = Rule(lambda value: isinstance(value, dict), "must be an object")
AMOUNT = Rule(_in_cents, f"must be an amount in USD, in whole cents, from 0 to {MOST_USD}")


def check(name: str, value: Any, rule: Rule) -> Any:
    """Return `value`, or refuse it with the words of the rule."""
    if not rule.fits(value):
        raise invalid(name, rule.words)
    return value


def to_cents(usd: float) -> int:
    """Turn an amount in USD that is in whole cents into those."""
    return round(usd * 100)


def to_usd(cents: int) -> int | float:
    """Write cents as USD, whole dollars without a fraction as JavaScript does."""
    return cents / 100 if cents % 100 else cents // 100


def parse(body: bytes) -> Row:
    """Read a body, of which none at all is the same as an empty object."""
    try:
        value = json.loads(body or b"{}")
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # neither NaN nor a lone surrogate can be kept
    except (ValueError, RecursionError):
        raise Refusal(400, "Invalid JSON body", "INVALID_JSON") from None
    return dict(check("body", value, OBJECT))


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one user; `team` is the one in the path, else the user's active one."""

    db: Store
    user: Row
    team: Row
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Row
    base_url: str
    idempotency_key: str | None

    def need(self, name: str, rule: Rule = TEXT) -> Any:
        """Read a member of the body that must be there."""
        return check(name, self.body.get(name), rule)

    def given(self, **rules: Rule) -> Row:
        """Read those members of the body that are there and not null, and no others."""
        return {name: self.need(name, rule) for name, rule in rules.items() if self.body.get(name) is not None}

    def find(self, kind: str, segment: str) -> Row:
        """Fetch the document that is named in the path and belongs to the user or the team, or refuse with 404."""
        return self.db.find(kind, self.path[segment], self.user["_id"], self.team["_id"])

    def change(self, kind: str, segment: str, **changes: Any) -> Row:
        """Replace members of such a document."""
        return self.db.put(kind, self.path[segment], self.find(kind, segment) | changes)

    def forget(self, kind: str, segment: str) -> Row:
        """Delete such a document."""
        self.find(kind, segment)
        self.db.drop(kind, self.path[segment])
        return {"deleted": True}
