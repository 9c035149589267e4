"""What a method may touch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import anyio

from openhuman_core.backend.route import Route, Sending
from openhuman_core.backend.times import rfc3339
from openhuman_core.protocol.messages import RawJson
from openhuman_core.registry.method import Method
from openhuman_core.registry.outcome import RpcOutcome

if TYPE_CHECKING:  # both are costly to import, and the session that answers core.ping has no use for them
    from openhuman_core.backend.client import Backend
    from openhuman_core.backend.credentials import Credential, Credentials
    from openhuman_core.registry.params import Params

T = TypeVar("T")


class Records(Protocol):
    """The journal of one account at one base URL; each method raises `JournalUnavailable` where it cannot be used."""

    async def entries(self, limit: int, offset: int, state: str | None) -> list[Any]:
        """List idempotency keys, newest first."""

    async def resolve(self, name: str, *, done: bool) -> Any:
        """Settle a key by hand; raises `InvalidParams` where its outcome is not unknown."""

    async def links(self, limit: int, offset: int) -> list[Any]:
        """List payment links, newest first."""

    def remember(self, link_id: str, status: str | None, record: dict[str, Any]) -> None:
        """Add a payment link to the list once the caller has its answer, if that can be done."""

    def note_status(self, link_id: str, status: str) -> None:
        """Keep what was learned of a payment once the caller has its answer, if that can be done."""


class Context(NamedTuple):
    """One call's view of the world: the hosted API, the credentials, the records, and the call's own options."""

    backend: Backend
    method: Method
    credential: Credential | None
    account: str
    sending: Sending
    records: Records
    progress: Callable[[Any], None]
    timeout_seconds: float | None = None
    idempotency_key: str | None = None

    @property
    def credentials(self) -> Credentials:
        """The credential in force, and the store."""
        return self.backend.credentials

    def deadline(self) -> float:
        """Give when the call's time is over, on the event loop's clock, where it begins now; infinity for no limit."""
        return math.inf if self.timeout_seconds is None else anyio.current_time() + self.timeout_seconds

    def outcome(self, value: T | RawJson, *logs: str) -> RpcOutcome[T]:
        """Give `value` as the outcome, with `logs` before the line that the method was declared with."""
        last = (self.method.log,) if self.method.log else ()
        return RpcOutcome(value, *logs, *last)

    async def relay(self, params: Params) -> RpcOutcome[Any]:
        """Ask the hosted API on the method's own route and give its answer as the outcome.

        Raises the `CoreError`s of `Backend.send`.
        """
        if self.method.route is None:
            raise TypeError(f"{self.method.name} has no route to relay to")
        return self.outcome(await self.send(self.method.route, params.wire()))

    async def relay_link(
        self, params: Params, *, bought: str, url: str, link_id: str, amount: float | None = None
    ) -> RpcOutcome[Any]:
        """Do as `relay` does, and list the payment link in the answer: `url` and `link_id` name its fields.

        `amount` is what was asked for, in USD, where the answer names none.
        """
        from openhuman_core.backend.envelope import read_json  # brings a parser, start-up does without

        outcome = await self.relay(params)
        made = read_json(outcome.value)
        if isinstance(made, dict) and isinstance(made.get(url), str):
            stated, made_id = made.get("amountUsd"), _text(made.get(link_id))
            record = {
                "method": self.method.name,
                "bought": bought,
                "url": made[url],
                "ids": {} if made_id is None else {link_id: made_id},
                "amountUsd": stated if isinstance(stated, int | float) and not isinstance(stated, bool) else amount,
                "createdAt": rfc3339(time.time()),
                "expiresAt": _text(made.get("expiresAt")),
                "idempotencyKey": self.idempotency_key,
            }
            known = {name: value for name, value in record.items() if value is not None}
            self.records.remember(made_id or "", _text(made.get("status")), known)
        return outcome

    async def send(
        self,
        route: Route,
        params: Mapping[str, Any],
        *,
        credential: Credential | None = None,
        timeout_seconds: float | None = None,
    ) -> RawJson:
        """Ask the hosted API on `route`, with `credential` and `timeout_seconds` in place of the call's own.

        `params` are wire names to values, without those that are absent. Gives the payload as it came. Raises the
        `CoreError`s of `Backend.send`.
        """
        payload = await self.backend.send(
            route.request(params),
            effect=self.method.effect,
            sending=self.sending,
            credential=credential or self.credential,
            timeout_seconds=self.timeout_seconds if timeout_seconds is None else timeout_seconds,
            idempotency_key=self.idempotency_key,
        )
        return RawJson(payload)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
