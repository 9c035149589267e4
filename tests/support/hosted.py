"""The sandbox as a hosted API that forgets idempotency keys, and programs of one home that call it in this process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from openhuman_core.app import registry
from openhuman_core.backend.client import Backend
from openhuman_core.backend.credentials import Credentials
from openhuman_core.backend.vault import Vault
from openhuman_core.errors import CoreError
from openhuman_core.runtime.failures import cancelled
from openhuman_core.runtime.invoke import Invoker, Record
from openhuman_core.runtime.journal import Journal
from openhuman_core.runtime.records import HomeRecords
from openhuman_core.sandbox.app import create_app
from openhuman_core.sandbox.transport import SandboxTransport
from openhuman_core.settings import Settings

BASE_URL = "http://sandbox.localhost"
REPLAYED = "replayed: this idempotency key was used before"

Point = Literal["before", "after", "answered"]
SHORT_MS = 50  # less than a fault's latency, and more than the journal takes

# Only what leaves open whether the call acted may act: a server that lies is another matter.
UNSURE_STATUSES = st.sampled_from([302, 408, 409, 425, 500, 503])
REFUSALS = st.sampled_from([400, 401, 402, 403, 404, 422, 429])
PUT_OFF = st.fixed_dictionaries(
    {"status": st.sampled_from([429, 503]), "headers": st.sampled_from([{"Retry-After": "0"}, {"Retry-After": "60"}])}
)
FAULTS = st.one_of(
    st.fixed_dictionaries({"status": UNSURE_STATUSES, "act": st.just(value=True)}),
    st.fixed_dictionaries({"status": UNSURE_STATUSES, "act": st.just(value=True)}),
    st.fixed_dictionaries({"status": UNSURE_STATUSES}),
    st.fixed_dictionaries({"status": REFUSALS}),
    PUT_OFF,
    st.fixed_dictionaries({"close": st.sampled_from(["before", "after"])}),
    st.fixed_dictionaries({"cut": st.integers(0, 60)}),
    st.fixed_dictionaries({"cut": st.integers(0, 3), "dripMs": st.just(1)}),
    st.fixed_dictionaries({"notJson": st.just(value=True), "act": st.booleans()}),
    st.just({"html404": True}),
    st.just({"status": 200, "body": {"success": False, "error": "no"}}),
    st.just({"latencyMs": 3 * SHORT_MS}),
)


@dataclass
class Hold:
    """Stops the next request before or after it acts, until `go`; `answered` only tells when its answer has left."""

    point: Point
    reached: anyio.Event = field(default_factory=anyio.Event)
    go: anyio.Event = field(default_factory=anyio.Event)

    async def at(self, point: Point) -> None:
        """Stop here, if this is the place."""
        if point == self.point:
            self.reached.set()
            if point != "answered":
                await self.go.wait()


class Hosted(httpx.AsyncBaseTransport):
    """The sandbox; where it is `forgetful`, a request that comes twice acts twice, whatever its key.

    While it is `refusing`, connections are refused before any byte leaves.
    """

    def __init__(self, *, forgetful: bool) -> None:
        self._forgetful = forgetful
        self._app = create_app()
        self._sandbox = SandboxTransport(self._serve)
        self.hold: Hold | None = None
        self.refusing = False
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one request."""
        if self.refusing:
            raise httpx.ConnectError("connection refused")
        return await self._sandbox.handle_async_request(request)

    async def control(self, verb: str, path: str, body: Any = None) -> Any:
        """Ask the sandbox what only a test may ask."""
        request = httpx.Request(verb, f"{BASE_URL}/__sandbox/{path}", json=body)
        answer = await SandboxTransport(self._app).handle_async_request(request)
        return json.loads(await answer.aread())

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        hold, self.hold = self.hold or Hold("answered"), None
        self.requests += 1
        if self._forgetful:
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"idempotency-key"]}

        async def deliver(message: Message) -> None:
            await hold.at("after")
            await send(message)

        await hold.at("before")
        await self._app(scope, receive, deliver)
        await hold.at("answered")


@dataclass(frozen=True)
class Told:
    """What a caller was told: a payload, or the kind of a failure and whether money moved."""

    kind: str
    payload: bytes = b""
    replayed: bool = False
    moved: str | None = None


class Program:
    """What one process is: its settings, its part of the journal, its connection; `stop` and `kill` end it."""

    def __init__(self, home: Path, hosted: Hosted, token: str, *, no_retries: bool, honoured: bool) -> None:
        own = Settings(home=home, backend_url=BASE_URL, token=token, no_retries=no_retries)
        self.token, self.retries = token, not no_retries
        self._core = own.core
        self._journal = Journal(own.core, Vault(own.core))
        records = HomeRecords(self._journal, honours_keys=honoured)
        backend = Backend(own, Credentials(own), hosted)
        self._invoker = Invoker(registry(), own, lambda: backend, lambda: records)

    async def call(
        self, method: str, params: dict[str, Any], cancel_when: Callable[[], Awaitable[object]] | None = None
    ) -> Told:
        """Make a call, which is cancelled where `cancel_when` ends first, and tell what its caller is told."""
        invocation = self._invoker.prepare(method, params, Record())
        told: Told | None = None
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                if cancel_when is not None:
                    await cancel_when()
                    tasks.cancel_scope.cancel()

            tasks.start_soon(cancel)
            try:
                outcome = await self._invoker.run(invocation)
                told = Told("ok", bytes(outcome.value), REPLAYED in outcome.logs)
            except CoreError as failure:
                told = _failed(failure)
            await invocation.finish()
            tasks.cancel_scope.cancel()
        return told or _failed(cancelled(invocation))

    async def result(self, method: str, params: dict[str, Any]) -> Any:
        """Make a call that must succeed and give its value."""
        return (await self._invoker.run(self._invoker.prepare(method, params, Record()))).value

    def stop(self) -> None:
        """End as a program does that has nothing under way."""
        self._journal.close()

    def kill(self) -> None:
        """End at once: the locks go, their files stay, and what was under way is never settled."""
        running = self._core / "running"
        files = {path.name for path in running.iterdir()} if running.exists() else set()
        self._journal.close()
        for name in files:
            (running / name).touch(0o600)


def _failed(failure: CoreError) -> Told:
    return Told(failure.kind, moved=failure.facts.get("moneyMoved"))


def bounded(examples: int) -> settings:
    """Make settings for so many runs; a failure is shown as it was found, since shrinking it takes minutes."""
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
