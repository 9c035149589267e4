"""What the hosted API is asked for: a route, the request that it makes of params, and how far that came."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

# An answer of more is large: few are held at a time, it is not copied again, and shorter ones overtake it.
LARGE_BYTES = 2**16

Stage = Literal["not_sent", "unknown", "completed"]


class Effect(StrEnum):
    """What making a call does, and so whether it may be made again after a failure."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    MONEY = "money"

    @property
    def repeatable(self) -> bool:
        """Whether a second call ends in the same state as one."""
        return self in (Effect.READ, Effect.WRITE)


class Request(NamedTuple):
    """One request: `path` is percent-encoded and holds the query; `body` is JSON, or None for no body at all."""

    route: Route
    path: str
    body: bytes | None

    def json(self) -> Any:
        """Give the body as a value; None for none."""
        return None if self.body is None else json.loads(self.body)


class Route(NamedTuple):
    """A verb and a path template, and where its parts come from.

    `{name}` in the template is a param, percent-encoded whole. `query` names params in the order in which they are
    sent; one that is absent, or is the flag false, is left out. `body` is None for no body, the name of one param
    whose object is the body as it is, or a mapping from the body's keys to params, of which those given are sent.
    """

    verb: str
    template: str
    query: tuple[str, ...] = ()
    body: Mapping[str, str] | str | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.template}"

    def request(self, params: Mapping[str, Any]) -> Request:
        """Make the request of `params`: wire names to values, without those that are absent."""
        path = re.sub(r"\{(\w+)\}", lambda param: quote(params[param[1]], safe=""), self.template)
        query = "&".join(
            f"{name}={_query_value(params[name])}" for name in self.query if params.get(name, False) is not False
        )
        return Request(self, f"{path}?{query}" if query else path, self._body(params))

    def _body(self, params: Mapping[str, Any]) -> bytes | None:
        if self.body is None:
            return None
        if isinstance(self.body, str):
            content = params[self.body]
        else:
            content = {key: params[name] for key, name in self.body.items() if name in params}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class Sending:
    """How far a call has come, as far as the hosted API can have acted on it; the one place that says so.

    `stage` is `unknown` from the first byte that leaves until an answer tells that the call was refused (`not_sent`:
    it surely did nothing) or done (`completed`), and as long as the stored credentials are written. `doubtful` says
    that another call under the same idempotency key may have acted, whatever becomes of this one. `request_id` is the
    hosted API's name of what it was last sent.
    `hold_large`, where it is set, waits until a large answer may be read on, and `paused` says that it did.
    """

    def __init__(self) -> None:
        self.stage: Stage = "not_sent"
        self.doubtful = False
        self.request_id: str | None = None
        self.hold_large: Callable[[], Awaitable[None]] | None = None
        self.paused = False

    @property
    def effect(self) -> Stage:
        """What may have come of the call, and of others under its key."""
        return "unknown" if self.doubtful and self.stage == "not_sent" else self.stage

    def leaves(self) -> None:
        """Take that the first byte of the request is about to leave."""
        self.stage = "unknown"


def keys(*names: str) -> Mapping[str, str]:
    """Name the params that are sent as the members of the body, under their own names."""
    return {name: name for name in names}


def _query_value(value: Any) -> str:
    return "true" if value is True else quote(str(value), safe="")
