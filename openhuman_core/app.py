"""Puts the rooms together: the only module that knows every one of them."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from openhuman_core import settings as configuration
from openhuman_core.errors import InvalidParams
from openhuman_core.registry.outcome import RpcOutcome
from openhuman_core.registry.registry import Registry
from openhuman_core.runtime import logging, policy, redaction, signals
from openhuman_core.runtime.builtins import ANY_PARAMS, BUILTINS, Program, Vitals, call_builtin
from openhuman_core.runtime.discovery import Discovery
from openhuman_core.runtime.failures import cancelled
from openhuman_core.runtime.invoke import Invocation, Invoker, Record
from openhuman_core.settings import Settings, UsageError

if TYPE_CHECKING:  # costly to import; loaded when the first call needs them
    import httpx

    from openhuman_core.backend.client import Backend
    from openhuman_core.registry.method import Namespace
    from openhuman_core.runtime.records import HomeRecords
    from openhuman_core.runtime.streams import Streams

USAGE = 2
# Python's 700 would let the collector look at the calls under way every few calls, though none leaves a ring behind.
COLLECT_AFTER = 10_000
LAST_MOMENT_SECONDS = 0.5
# While a thread imports what the first calls need, the session has its turn this often; Python's 5 ms would be felt.
SWITCH_SECONDS = 0.0005

# A namespace is imported when one of its methods is first asked for.
NAMESPACES: Mapping[str, str] = {
    "openhuman.auth_": "openhuman_core.domains.auth.controllers:auth",
    "openhuman.billing_": "openhuman_core.domains.billing.controllers:billing",
    "openhuman.team_": "openhuman_core.domains.team.controllers:team",
    "openhuman.api_keys_": "openhuman_core.domains.account.controllers:api_keys",
    "openhuman.budgets_": "openhuman_core.domains.account.controllers:budgets",
    "openhuman.spend_caps_": "openhuman_core.domains.account.controllers:spend_caps",
    "openhuman.journal_": "openhuman_core.domains.journal.controllers:journal",
    "openhuman.referral_": "openhuman_core.domains.account.controllers:referral",
}
DOMAINS = tuple(dict.fromkeys(name.partition(":")[0] for name in NAMESPACES.values()))
# What the first call to the hosted API loads, slowest first.
SLOW_MODULES = ("openhuman_core.backend.transport", "openhuman_core.registry.params", "openhuman_core.backend.client")
SANDBOX_NAMESPACES: Mapping[str, str] = {"sandbox.": "openhuman_core.domains.sandbox.controllers:sandbox"}


def load_ahead() -> None:
    """Import in a thread what the first call needs, without a byte on the network; no end waits for it."""
    threading.Thread(target=lambda: [import_module(name) for name in (*SLOW_MODULES, *DOMAINS)], daemon=True).start()


def registry(*, sandbox: bool = False) -> Registry:
    """Gather the methods; with `sandbox` also those that order faults and settle payments there."""
    names = {**NAMESPACES, **(SANDBOX_NAMESPACES if sandbox else {})}
    loaders: dict[str, Callable[[], Namespace]] = {p: partial(_namespace, name) for p, name in names.items()}
    return Registry(loaders)


def generated_schemas() -> dict[str, str]:
    """Give the files of `schemas/`: name to content."""
    from openhuman_core.registry import openrpc, reference  # builds every model

    document = openrpc.document(registry().all(), BUILTINS)
    files = {"openrpc.json": document}
    files |= {f"methods/{name}.json": schema for name, schema in openrpc.schemas(document, ANY_PARAMS).items()}
    texts = {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}
    return {**texts, "reference.md": reference.markdown(document)}


def _namespace(name: str) -> Namespace:
    module, _, attribute = name.partition(":")
    namespace: Namespace = getattr(import_module(module), attribute)
    return namespace


class App:
    """One program's settings, methods, and connection to the hosted API, which is made when first needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = time.perf_counter()
        self.registry = registry(sandbox=settings.sandbox)
        policy.check_patterns(settings, lambda: [method.name for method in self.registry.all()])
        self.discovery = Discovery(self.registry, BUILTINS, settings)
        # What the embedded sandbox holds is gone with the process, and so are the keys that were used with it.
        realm = f"{configuration.SANDBOX}/{os.urandom(8).hex()}" if settings.sandbox else None
        self.invoker = Invoker(self.registry, settings, partial(_new_backend, settings), self._open_records, realm)
        self._records: HomeRecords | None = None
        self._opening_records = threading.Lock()  # the journal's work is done in threads

    async def call(self, method: str, params: Any, progress: Callable[[Any], None] | None = None) -> RpcOutcome[Any]:
        """Make one call in this process; raises `CoreError`, `Cancelled` too where the task is cancelled meanwhile.

        `progress` takes what the call tells on its way.
        """
        if method in BUILTINS:
            return RpcOutcome(
                call_builtin(method, params, Program(self.discovery, self.settings, Vitals(), lambda: None))
            )
        invocation = self._prepare(method, params)
        if progress is not None:
            invocation = invocation._replace(progress=progress)
        try:
            return await self.invoker.run(invocation)
        except anyio.get_cancelled_exc_class() as interruption:
            raise cancelled(invocation) from interruption
        finally:
            with anyio.CancelScope(shield=True):
                await invocation.finish()

    def plan(self, method: str, params: Any) -> dict[str, Any]:
        """Say what a call would do without making it; raises `CoreError`."""
        return self.invoker.plan(self._prepare(method, params))

    def _prepare(self, method: str, params: Any) -> Invocation:
        """Check a call's params; unlike a peer's they may hold bytes of the command line that are no text."""
        try:
            json.dumps(params, ensure_ascii=False).encode()
        except UnicodeEncodeError as problem:
            raise InvalidParams("invalid params: what is no UTF-8 cannot be sent") from problem
        # What is done here is one piece of work: a session that ends during it ended under all of its calls.
        return self.invoker.prepare(method, params, Record())._replace(accepted=self._opened)

    async def check_account(self, team: str | None) -> None:
        """Look whether writes, in `team` or in the active one, may be made as who is signed in; raises `CoreError`."""
        backend = self.backend()
        credential = backend.credentials.require(since=self._opened)
        await self.invoker.expectation.check(backend, credential, team, timeout_seconds=None)

    def backend(self) -> Backend:
        """Give the hosted API, without reaching for it, and the credentials for it."""
        return self.invoker.open()

    async def journal_health(self) -> str:
        """Say where the journal is and how many keys it holds; raises `JournalUnavailable`."""
        return await anyio.to_thread.run_sync(self._open_records().journal.health)

    async def __aenter__(self) -> Self:
        """Give the program itself; it is closed at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections to the hosted API and the journal, whatever happens meanwhile."""
        with anyio.CancelScope(shield=True):
            await self.invoker.aclose()
            if self._records is not None:
                self._records.journal.close()

    def _open_records(self) -> HomeRecords:
        with self._opening_records:
            if self._records is None:
                from openhuman_core.backend.vault import Vault
                from openhuman_core.runtime.journal import Journal
                from openhuman_core.runtime.records import HomeRecords

                core = self.settings.core
                honours_keys = self.settings.sandbox or self.settings.idempotency_honoured
                self._records = HomeRecords(Journal(core, Vault(core)), honours_keys=honours_keys)
            return self._records


def serve(flags: list[str], streams: Streams) -> int:
    """Run the daemon on `streams`; gives the exit code of the wire contract's section 9.

    Raises `CoreError` where it cannot start.
    """
    try:
        settings = configuration.load(configuration.parse_flags(flags), os.environ)
    except UsageError as problem:
        sys.stderr.write(f"openhuman-core serve: {redaction.redact(str(problem))}\n")
        return USAGE
    logging.log.setLevel(settings.log_level.upper())

    def last_words(code: int) -> None:
        for number in signals.STOPS:
            signal.signal(number, signal.SIG_IGN)  # nothing is left that could end sooner
        streams.close()
        logging.log.info("ended", extra={"exitCode": code})

    def leave(code: int) -> None:
        last_words(code)
        logging.close()
        os._exit(code)

    code = _run_session(settings, streams, leave)
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():  # left behind by a call that ended
            thread.join(LAST_MOMENT_SECONDS)
            if thread.is_alive():
                leave(code)
    last_words(code)
    return code


def _run_session(settings: Settings, streams: Streams, leave: Callable[[int], None]) -> int:
    from openhuman_core.runtime.session import Session
    from openhuman_core.runtime.stdio import Wire

    sys.setswitchinterval(SWITCH_SECONDS)

    async def main() -> int:
        gc.freeze()  # what was imported stays, anyio's event loop too: not even the first collection looks at it
        gc.set_threshold(COLLECT_AFTER)
        gc.enable()
        async with App(settings) as app:
            wire = Wire(streams.input, streams.output)
            return await Session(app.discovery, app.invoker, settings, wire, load_ahead=load_ahead, leave=leave).run()

    return anyio.run(main)


def _new_backend(settings: Settings) -> Backend:
    from openhuman_core.backend.client import Backend
    from openhuman_core.backend.credentials import Credentials

    credentials = Credentials(settings)
    transport = _sandbox(credentials) if settings.sandbox else _network(settings)
    return Backend(settings, credentials, transport)


def _network(settings: Settings) -> httpx.AsyncBaseTransport:
    from openhuman_core.backend.transport import AiohttpTransport

    return AiohttpTransport(settings.max_in_flight, settings.connect_timeout_seconds)


def _sandbox(credentials: Any) -> httpx.AsyncBaseTransport:
    """Open the stand-in for the hosted API, signed in as its administrator whatever an earlier run left."""
    from pydantic import SecretStr

    from openhuman_core.backend.store import Entry
    from openhuman_core.sandbox.app import create_app
    from openhuman_core.sandbox.transport import SandboxTransport

    credentials.store.remove(lambda entry: entry.kind == "api-key")
    credentials.store.put(Entry("session", SecretStr("sandbox-admin"), credentials.settings.base_url(), ""))
    return SandboxTransport(create_app())
