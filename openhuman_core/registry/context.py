"""What a method may touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from openhuman_core.backend.route import Route, Sending
from openhuman_core.protocol.messages import RawJson
from openhuman_core.registry.method import Method
from openhuman_core.registry.outcome import RpcOutcome

if TYPE_CHECKING:  # both are costly to import, and the session that answers core.ping has no use for them
    from openhuman_core.backend.client import Backend
    from openhuman_core.backend.credentials import Credential, Credentials
    from openhuman_core.registry.params import Params

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """One call's view of the world: the hosted API, the credentials, and the options that came with the call."""

    backend: Backend
    method: Method
    credential: Credential | None
    sending: Sending
    timeout_seconds: float | None = None
    idempotency_key: str | None = None

    @property
    def credentials(self) -> Credentials:
        """The credential in force, and the store."""
        return self.backend.credentials

    def outcome(self, value: T | RawJson, *logs: str) -> RpcOutcome[T]:
        """Give `value` as the outcome, with `logs` before the line that the method was declared with."""
        return RpcOutcome(value, *logs, self.method.log) if self.method.log else RpcOutcome(value, *logs)

    async def relay(self, params: Params) -> RpcOutcome[Any]:
        """Ask the hosted API on the method's own route and give its answer as the outcome.

        Raises the `CoreError`s of `Backend.send`.
        """
        if self.method.route is None:
            raise TypeError(f"{self.method.name} has no route to relay to")
        return self.outcome(await self.send(self.method.route, params))

    async def send(
        self, route: Route, params: Params | Mapping[str, Any], *, credential: Credential | None = None
    ) -> RawJson:
        """Ask the hosted API on `route`, with `credential` in place of the call's own where it is given.

        Gives the payload as it came. Raises the `CoreError`s of `Backend.send`.
        """
        payload = await self.backend.send(
            route.request(params if isinstance(params, Mapping) else params.wire()),
            effect=self.method.effect,
            sending=self.sending,
            credential=credential or self.credential,
            timeout_seconds=self.timeout_seconds,
            idempotency_key=self.idempotency_key,
        )
        return RawJson(payload)
