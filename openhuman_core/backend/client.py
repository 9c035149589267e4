"""One call to the hosted API: a request and a credential in, the payload or an error of ours out."""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from urllib.parse import urlsplit

import anyio
import httpx

from openhuman_core import __version__
from openhuman_core.backend.credentials import Credential, Credentials
from openhuman_core.backend.envelope import Answer, may_have_acted, payload_of
from openhuman_core.backend.route import Effect, Request, Sending
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

# What a lost or missing connection is called on the wire; the transport's own messages are these.
CAUSES = (
    "connection refused",
    "name not resolved",
    "TLS verification failed",
    "connection reset",
    "connection closed",
    "network unreachable",
)
CAUSES_BY_KIND: tuple[tuple[type[httpx.HTTPError], str], ...] = (
    (httpx.ConnectError, "connection refused"),
    (httpx.RemoteProtocolError, "connection closed"),
    (httpx.HTTPError, "connection reset"),
)
HEADERS = (("accept", "application/json"), ("user-agent", f"openhuman-core/{__version__}"))


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
        http_request = self._request(request, credential, idempotency_key)
        http_request.extensions["trace"] = sending.trace
        timeout = self.settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            with anyio.fail_after(timeout):
                answer = await self._exchange(http_request, request)
            sending.effect = "completed"
            return payload_of(answer)
        except TimeoutError as problem:
            failure: CoreError = BackendTimeout(
                f"{request.route} timed out after {timeout:g} s", route=str(request.route)
            )
            raise self._told(failure, effect, sending) from problem
        except httpx.HTTPError as problem:
            raise self._told(_transport_failure(problem, request), effect, sending) from problem
        except CoreError as failure:
            if failure.facts.get("httpStatus") == HTTPStatus.UNAUTHORIZED:
                raise self._unauthorized(failure, credential) from failure
            told = self._told(failure, effect, sending)
            if told is failure:
                raise
            raise told from failure

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
        headers = [*HEADERS]
        if credential is not None:
            headers.append(credential.header())
        if request.body is not None:
            headers.append(("content-type", "application/json"))
        if idempotency_key is not None:
            headers.append(("idempotency-key", idempotency_key))
        return httpx.Request(request.route.verb, self.base_url + request.path, headers=headers, content=request.body)

    async def _exchange(self, http_request: httpx.Request, request: Request) -> Answer:
        response = await self._transport.handle_async_request(http_request)
        try:
            body = await self._body(response, request)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        return Answer(request.route, response.status_code, response.headers, body)

    async def _body(self, response: httpx.Response, request: Request) -> bytes:
        status, most = response.status_code, self.settings.max_message_bytes
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > most:
                    raise _unreadable(request, status, f"with more than {most} bytes")
        except (httpx.NetworkError, httpx.ProtocolError, httpx.DecodingError) as problem:
            if status < HTTPStatus.BAD_REQUEST:
                raise _unreadable(request, status, "with a body that is cut short") from problem
            return b""  # a refusal is one without its reason, too
        return bytes(body)

    def _told(self, failure: CoreError, effect: Effect, sending: Sending) -> CoreError:
        """Give the failure itself, or that the outcome is unknown where the call may have acted."""
        if sending.effect == "not_sent" or not may_have_acted(failure, effect):
            return failure
        facts = {name: value for name, value in failure.facts.items() if name != "retryAfterMs"}
        return OutcomeUnknown(f"the outcome is unknown: {failure.message}", **facts)

    def _unauthorized(self, failure: CoreError, credential: Credential | None) -> CoreError:
        route, facts = failure.facts["route"], failure.facts
        if credential is None:
            return failure
        if credential.stored:
            self.credentials.refused(credential)
        told: CoreError
        if credential.kind == "api-key":
            told = ApiKeyRejected(f"API_KEY_REJECTED: the hosted API refused the API key on {route}", **facts)
        else:
            told = SessionExpired(f"SESSION_EXPIRED: Session expired; sign in again, refused on {route}", **facts)
        told.reason = failure.reason
        return told


def _transport_failure(problem: httpx.HTTPError, request: Request) -> CoreError:
    route = str(request.route)
    if isinstance(problem, httpx.TimeoutException):
        return BackendTimeout(f"{route} timed out: {problem}", route=route)
    if isinstance(problem, httpx.DecodingError):
        return _unreadable(request, None, "with what is no HTTP")
    cause = str(problem)
    if cause not in CAUSES:  # another transport's words
        cause = next(cause for kind, cause in CAUSES_BY_KIND if isinstance(problem, kind))
    return BackendUnavailable(f"error sending request: {cause}", route=route)


def _unreadable(request: Request, status: int | None, how: str) -> BadBackendResponse:
    return BadBackendResponse(f"{request.route} answered {how}", route=str(request.route), httpStatus=status)


def _is_loopback(host: str) -> bool:
    import ipaddress  # noqa: PLC0415 - plain HTTP is for development

    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
