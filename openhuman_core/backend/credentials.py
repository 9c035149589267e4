"""Who we are to the hosted API: which credential is in force, of the environment's and the stored ones.

Source of the rules: the wire contract, section 5.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

from anyio import CancelScope, Lock, get_cancelled_exc_class, move_on_after, to_thread
from pydantic import SecretStr

from openhuman_core.backend.route import Sending
from openhuman_core.backend.store import CredentialStore, Entry, Kind, is_sendable
from openhuman_core.errors import BackendTimeout, Configuration, SessionExpired, Unauthenticated
from openhuman_core.settings import Settings

EXPIRY_MARGIN_SECONDS = 30
SPARES_FOUR = 16
END_OF_TIME = 62_135_596_800  # as far before 1970 as the calendar of Python goes, and as far after
NO_CREDENTIAL = "no backend session token; run auth_store_session first"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credential:
    """A session token or an API key, and the id of its user where the hosted API told it.

    `stored` tells one of the store from one of the environment.
    """

    kind: Kind
    secret: SecretStr
    stored: bool = False
    user_id: str | None = None

    def account(self) -> str:
        """Give the name of the account that calls belong to: two tokens of one user are one account.

        It is the user that a session names, else the one verified when it was stored, else a digest of the secret.
        """
        named = self.subject() or self.user_id
        return named or f"{self.kind}:{hashlib.sha256(self.secret.get_secret_value().encode()).hexdigest()}"

    @property
    def source(self) -> str:
        """Where it is from: a variable, or the store."""
        return "stored" if self.stored else {"api-key": "OPENHUMAN_API_KEY", "session": "OPENHUMAN_TOKEN"}[self.kind]

    def last_four(self) -> str:
        """Give what a person may know it by: the last characters of one that is long enough to spare them."""
        secret = self.secret.get_secret_value()
        return secret[-4:] if len(secret) >= SPARES_FOUR else ""

    def header(self) -> tuple[str, str]:
        """Give the header that shows this credential to the hosted API."""
        secret = self.secret.get_secret_value()
        return ("x-api-key", secret) if self.kind == "api-key" else ("authorization", f"Bearer {secret}")

    def expires_at(self) -> float | None:
        """Give the time (seconds since the epoch) at which a session that is a JWT ends, without trusting it."""
        expiry = _claims(self.secret.get_secret_value()).get("exp") if self.kind == "session" else None
        is_time = isinstance(expiry, int | float) and not isinstance(expiry, bool) and abs(expiry) < END_OF_TIME
        return expiry if is_time else None

    def subject(self) -> str | None:
        """Give the user that a session that is a JWT names, without trusting it."""
        return _subject(self.secret.get_secret_value()) if self.kind == "session" else None

    def expired(self) -> bool:
        """Tell whether a session is over, or will be within 30 seconds."""
        expiry = self.expires_at()
        return expiry is not None and expiry - time.time() <= EXPIRY_MARGIN_SECONDS

    def check_expiry(self) -> None:
        """Raise `SessionExpired` for a session that is over."""
        if self.expired():
            raise SessionExpired(
                "SESSION_EXPIRED: Session expired; sign in again (backend session token expired locally)"
            )


class Credentials:
    """The credential in force: the environment's API key, its token, the stored API key, the stored session."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = CredentialStore(settings.core, settings.credential_store)
        self._refused_at = -math.inf
        self._one_reads, self._one_changes, self._one_forgets = Lock(), Lock(), Lock()
        self._forgot: tuple[SecretStr | None, float] = (None, -math.inf)

    async def refresh(self, timeout_seconds: float | None) -> None:
        """Read the store where it has changed, away from the event loop: a keychain may take seconds to answer.

        What cannot be read is told when it is needed. Raises `BackendTimeout` when it takes too long.
        """
        if self.settings.api_key or self.settings.token or not self.store.has_changed():
            return
        with move_on_after(timeout_seconds):
            async with self._one_reads:
                with suppress(Configuration):
                    await to_thread.run_sync(self.store.entries, abandon_on_cancel=True)
            return
        raise BackendTimeout("reading the stored credential timed out; nothing was sent")

    def current(self) -> Credential | None:
        """Give the credential that a call uses, if there is one for the base URL in force."""
        if self.settings.api_key:
            return Credential("api-key", _sendable(self.settings.api_key, "OPENHUMAN_API_KEY"))
        return (None if self.settings.token else self._stored("api-key")) or self.session()

    def session(self) -> Credential | None:
        """Give the session in force, whether or not an API key comes before it."""
        if self.settings.token:
            return Credential("session", _sendable(self.settings.token, "OPENHUMAN_TOKEN"))
        return self._stored("session")

    def entry(self, kind: Kind) -> Entry | None:
        """Give the stored entry of a kind for the base URL in force."""
        try:
            base_url = self.settings.base_url()
        except Configuration:  # told when the base URL's own turn comes
            return None
        return self.store.get(kind, base_url)

    def _stored(self, kind: Kind) -> Credential | None:
        entry = self.entry(kind)
        if entry is None:
            return None
        return Credential(kind, entry.secret, stored=True, user_id=entry.user_id if entry.verified else None)

    def require(self, *, since: float) -> Credential:
        """Give the credential that a call uses, which was accepted at `since`, on the clock of `time.perf_counter`.

        Raises `Unauthenticated`; `SessionExpired` where the session is over, or was refused after that time.
        """
        credential = self.current()
        if credential is None:
            if since < self._refused_at:
                raise SessionExpired("SESSION_EXPIRED: Session expired; sign in again (it was refused meanwhile)")
            elsewhere = " and ".join(sorted({entry.base_url for entry in self.store.entries()}))
            hint = f"What is stored belongs to {elsewhere}; sign in here." if elsewhere else None
            raise Unauthenticated(NO_CREDENTIAL, hint=hint)
        credential.check_expiry()
        return credential

    async def save(self, entry: Entry, sending: Sending, deadline: float) -> None:
        """Store a credential; `sending` says how far that came, and `deadline` is on the event loop's clock.

        Raises `Configuration`, and `BackendTimeout` at the deadline.
        """
        await self._change(partial(self.store.put, entry), sending, deadline)

    async def forget(self, kinds: tuple[Kind, ...], sending: Sending, deadline: float) -> list[Kind]:
        """Forget the stored credentials of these kinds, for all base URLs, and say which there were.

        `sending`, `deadline` and what is raised are those of `save`.
        """
        return await self._change(partial(self.store.remove, lambda entry: entry.kind in kinds), sending, deadline)

    async def _change(self, change: Callable[[threading.Lock], T], sending: Sending, deadline: float = math.inf) -> T:
        """Change the store in a thread, which is left behind where the call ends before it.

        It writes nothing any more then, and `sending` says so, unless it is writing already. One change is made at a
        time: many that wait for a keychain would hold every thread, and calls that pay need one for the journal.
        """
        sending.stage, decision = "not_sent", threading.Lock()
        with CancelScope(deadline=deadline):
            async with self._one_changes:
                try:
                    made = await to_thread.run_sync(change, decision, abandon_on_cancel=True)
                except get_cancelled_exc_class():
                    sending.stage = "not_sent" if decision.acquire(blocking=False) else "unknown"
                    raise
            sending.stage = "completed"
            return made
        raise BackendTimeout("changing the stored credential timed out", effect=sending.stage)

    async def refused(self, credential: Credential) -> None:
        """Forget the stored session if it is the very one that the hosted API refused; one call does so for all."""
        if credential.kind != "session" or not credential.stored:
            return
        asked = time.perf_counter()
        async with self._one_forgets:
            secret, forgot_at = self._forgot
            if secret != credential.secret or forgot_at < asked:
                try:
                    await self._change(partial(self._forget_refused, credential.secret), Sending())
                finally:
                    self._forgot = (credential.secret, time.perf_counter())

    def _forget_refused(self, secret: SecretStr, decision: threading.Lock) -> None:
        try:
            entry = self.entry("session")
            if entry is None or entry.secret == secret:  # another process may have forgotten it already
                self._refused_at = time.perf_counter()  # before others see that there is none
            if entry is not None and entry.secret == secret:
                self.store.remove(lambda stored: stored == entry, decision)
        except Configuration:
            return  # the caller is told of the refusal; the session that stays is refused again


@lru_cache(maxsize=4)  # each call asks
def _sendable(secret: str, source: str) -> SecretStr:
    if not is_sendable(secret):
        raise Configuration(f"{source} holds characters that no header can carry")
    return SecretStr(secret)


@lru_cache(maxsize=4)  # each call asks
def _subject(token: str) -> str | None:
    named = (_claims(token).get(name) for name in ("sub", "userId", "id", "_id"))
    return next((user for user in named if isinstance(user, str) and user), None)


@lru_cache(maxsize=4)  # a call asks several times
def _claims(token: str) -> dict[str, Any]:
    """Read the claims of a JWT without checking its signature; anything else has none."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        return {}
    payload = parts[1].rstrip("=")
    try:
        claims = json.loads(base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
