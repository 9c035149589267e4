"""One call to the hosted API: a request and a credential in, the payload or an error of ours out."""

from __future__ import annotations

from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

import anyio
import httpx

from openhuman_core import __version__
from openhuman_core.backend.credentials import Credential, Credentials
from openhuman_core.backend.envelope import Answer, facts_of, is_unsure, payload_of, seconds_ahead
from openhuman_core.backend.me import ME
from openhuman_core.backend.retry import pause_before_retry
from openhuman_core.backend.route import LARGE_BYTES, Effect, Request, Sending
from openhuman_core.errors import (
    ApiKeyRejected,
    BackendTimeout,
    BackendUnavailable,
    BadBackendResponse,
    Configuration,
    CoreError,
    OutcomeUnknown,
    SessionExpired,
)
from openhuman_core.settings import Settings

# No compression: an answer whose compressed stream is cut short cannot be told from a short one.
HEADERS = (
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", f"openhuman-core/{__version__}"),
)

PROXY_HINT = "Check the proxy that the environment names, and its credentials in HTTPS_PROXY, then call again."
FORGET_SECONDS = 1.5

_parsed = lru_cache(maxsize=128)(httpx.URL)  # most calls go to few places, and reading a URL takes longer than a header


class Backend:
    """The hosted API at one base URL, over one transport that is kept open until `aclose`."""

    def __init__(self, settings: Settings, credentials: Credentials, transport: httpx.AsyncBaseTransport) -> None:
        self.settings = settings
        self.credentials = credentials
        self._transport = transport

    async def send(
        self,
        request: Request,
        *,
        effect: Effect,
        sending: Sending,
        credential: Credential | None,
        timeout_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> bytes:
        """Make one call and give its payload: JSON text as UTF-8, on one line, `null` for an empty answer.

        `sending` follows how far the call comes, for whoever cancels it.

        Raises a `CoreError` for each way to fail (the wire contract, section 7). A call that creates or pays and may
        have acted raises `OutcomeUnknown` in place of any other.
        """
        timeout = self.settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        attempt = 0
        with anyio.move_on_after(timeout) as scope:
            while True:
                attempt += 1
                try:
                    return await self._attempt(request, credential, idempotency_key, sending)
                except CoreError as failure:
                    sent = sending.stage != "not_sent"
                    sending.stage = "unknown" if sent and is_unsure(failure, effect) else "not_sent"
                    pause = (
                        None if self.settings.no_retries else pause_before_retry(failure, effect, attempt, sent=sent)
                    )
                    if pause is None or anyio.current_time() + pause >= scope.deadline:
                        final = await self._final(failure, effect, credential, sending)
                        raise final from (None if final is failure else failure)
                if not effect.repeatable:
                    sending.stage = "not_sent"  # what is sent again surely did nothing
                await anyio.sleep(pause)
        late = BackendTimeout(f"{request.route} timed out after {timeout:.3g} s", route=str(request.route))
        raise await self._final(late, effect, credential, sending)

    async def probe(self) -> float | None:
        """Ask for anything, as nobody; gives the seconds by which the hosted API's clock is ahead, if it says so.

        Raises `Configuration`, and `BackendUnavailable` or `BackendTimeout` where no answer comes.
        """
        request = ME.request({})
        try:
            with anyio.fail_after(self.settings.connect_timeout_seconds):
                answer = await self._exchange(self._request(request, None, None), request, Sending())
        except (httpx.HTTPError, TimeoutError) as problem:
            cause = problem if isinstance(problem, httpx.HTTPError) else httpx.ReadTimeout("no answer")
            raise _transport_failure(cause, request) from problem
        return seconds_ahead(answer.headers.get("date"))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    @cached_property
    def base_url(self) -> str:
        """The base URL; raises `Configuration` where it is none, or where a credential must not travel to it."""
        url = self.settings.base_url()
        if url.startswith("http:") and not _is_loopback(urlsplit(url).hostname or ""):
            raise Configuration(
                "backend credential requires HTTPS or a loopback HTTP endpoint", hint="Use an https:// base URL."
            )
        return url

    def _request(self, request: Request, credential: Credential | None, idempotency_key: str | None) -> httpx.Request:
        headers = _headers(None if credential is None else credential.header(), has_body=request.body is not None)
        if idempotency_key is not None:
            headers = headers.copy()
            headers["idempotency-key"] = idempotency_key
        url = _parsed(self.base_url + request.path)
        # With a stream of its own a request is not searched for headers to add; the transport adds what HTTP needs.
        return httpx.Request(request.route.verb, url, headers=headers, stream=httpx.ByteStream(request.body or b""))

    async def _attempt(
        self, request: Request, credential: Credential | None, idempotency_key: str | None, sending: Sending
    ) -> bytes:
        http_request = self._request(request, credential, idempotency_key)
        if request.route.verb != "GET":  # which acts on nothing, also where a method that writes begins with one
            http_request.extensions["leaves"] = sending.leaves
        try:
            answer = await self._exchange(http_request, request, sending)
        except httpx.HTTPError as problem:
            raise _transport_failure(problem, request) from problem
        sending.request_id = answer.headers.get("x-request-id")
        payload = payload_of(answer)
        sending.stage = "completed"
        return payload

    async def _exchange(self, http_request: httpx.Request, request: Request, sending: Sending) -> Answer:
        response = await self._transport.handle_async_request(http_request)
        headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers.raw}
        answer = Answer(request.route, response.status_code, headers)
        stream = cast("httpx.AsyncByteStream", response.stream)  # with less ado than the response makes of it
        try:
            answer.body = await self._body(stream, answer, sending)
        finally:
            await stream.aclose()
        return answer

    async def _body(self, stream: httpx.AsyncByteStream, answer: Answer, sending: Sending) -> bytes | bytearray:
        """Read a body; a refusal without a readable one is a refusal all the same."""
        encoding = answer.headers.get("content-encoding", "").strip().lower()
        problem = "compressed" if encoding not in ("", "identity") else ""
        body = bytearray()
        try:
            async for chunk in stream:
                body += chunk
                if len(body) > self.settings.max_message_bytes:
                    problem = f"longer than {self.settings.max_message_bytes} bytes"
                    break
                if len(body) > LARGE_BYTES and sending.hold_large is not None:
                    await sending.hold_large()
        except (httpx.NetworkError, httpx.ProtocolError):
            if sending.paused:  # the hosted API may have given up on who read nothing for a while
                raise
            problem = "cut short"
        if problem and answer.status < HTTPStatus.BAD_REQUEST:
            raise BadBackendResponse(f"{answer.route} answered with a body that is {problem}", **facts_of(answer))
        return b"" if problem else body

    async def _final(
        self, failure: CoreError, effect: Effect, credential: Credential | None, sending: Sending
    ) -> CoreError:
        """Give the failure that a call which is not made again ends in."""
        if failure.facts.get("httpStatus") == HTTPStatus.UNAUTHORIZED and credential is not None:
            return await self._unauthorized(failure, credential)
        if sending.stage == "not_sent" or effect.repeatable:
            return failure
        facts = {name: value for name, value in failure.facts.items() if name != "retryAfterMs"}
        return OutcomeUnknown(f"the outcome is unknown: {failure.message}", **facts)

    async def _unauthorized(self, failure: CoreError, credential: Credential) -> CoreError:
        route = failure.facts["route"]
        with anyio.move_on_after(FORGET_SECONDS, shield=True):  # the refusal is told whatever the store does
            await self.credentials.refused(credential)
        kind: type[CoreError] = SessionExpired
        told = "SESSION_EXPIRED: Session expired; sign in again"
        if credential.kind == "api-key":
            kind, told = ApiKeyRejected, "API_KEY_REJECTED: the API key was refused"
        final = kind(f"{told} ({failure.reason}) on {route}", **failure.facts)
        final.reason = failure.reason
        return final


@lru_cache(maxsize=4)  # most calls show one credential
def _headers(credential: tuple[str, str] | None, *, has_body: bool) -> httpx.Headers:
    shown = [credential] if credential else []
    return httpx.Headers([*HEADERS, *shown, *[("content-type", "application/json")] * has_body])


def _transport_failure(problem: httpx.HTTPError, request: Request) -> CoreError:
    route = str(request.route)
    if isinstance(problem, httpx.TimeoutException):
        return BackendTimeout(f"{route} timed out: {problem}", route=route)
    if isinstance(problem, httpx.DecodingError):
        return BadBackendResponse(f"{route} answered with what is no HTTP", route=route)
    hint = PROXY_HINT if isinstance(problem, httpx.ProxyError) else None
    return BackendUnavailable(f"error sending request: {problem}", hint=hint, route=route)


def _is_loopback(host: str) -> bool:
    import ipaddress  # plain HTTP is for development

    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
