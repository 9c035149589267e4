"""What carries the bytes: aiohttp's connection pool behind httpx's transport interface.

httpx's own transport loses pool slots when calls are cancelled (encode/httpcore #1093). The ready-made adapter between
the two libraries re-encodes paths (`%40` becomes `@`), names a lost connection a failed connect, which would make a
payment look safe to repeat, and lets requests be repeated silently. So the seam is here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx
import yarl

from openhuman_core.errors import Configuration

# aiohttp reads the system's certificates twice when it is imported, a tenth of a short run, for contexts that nobody
# uses: TLS has one of its own here. Without certificates theirs would trust nobody.
ssl.SSLContext.set_default_verify_paths = lambda _: None  # type: ignore[assignment, method-assign]
try:
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult
finally:
    del ssl.SSLContext.set_default_verify_paths  # what is inherited counts again

_parsed = lru_cache(maxsize=128)(partial(yarl.URL, encoded=True))  # reading a URL takes longer than a header

# What to call when the request that this task makes is about to leave.
_leaves: ContextVar[Callable[[], None]] = ContextVar("leaves")

_CAUSES = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ENETUNREACH: "network unreachable",
    errno.EHOSTUNREACH: "network unreachable",
    errno.ENETDOWN: "network unreachable",
}


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One pool of kept-open connections; it follows no redirect, keeps no cookie and repeats nothing.

    Raises `httpx.ConnectError`, `httpx.ProxyError` where it is the proxy that does not connect, and
    `httpx.ConnectTimeout` only when no byte of the request can have left. A lost connection is `httpx.ReadError` or
    `httpx.RemoteProtocolError`. The messages are the wire contract's causes. For a proxy that is no HTTP proxy it
    raises `Configuration`.
    """

    def __init__(self, connections: int, connect_timeout: float) -> None:
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._proxies = getproxies()
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and give the answer with its body unread; `leaves`, of its extensions, is called before."""
        session = self._session or self._open(encrypted=request.url.scheme == "https" or bool(self._proxies))
        _leaves.set(request.extensions.get("leaves", lambda: None))
        for others in reversed(range(self._connections + 1)):  # that may be kept open
            try:
                response = await session.request(
                    request.method,
                    _parsed(str(request.url)),
                    headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
                    data=request.read() or None,
                    # What it would add is there but for the type of a body that a POST may not have.
                    skip_auto_headers=None if request.method == "GET" else ("Content-Type",),
                    allow_redirects=False,
                    proxy=self._proxy(request.url) if self._proxies else None,
                )
                break
            except aiohttp.ClientError as problem:
                if not isinstance(problem, _UnaskedError) or not others:
                    raise _translated(problem) from problem
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response),
            extensions={"reason_phrase": (response.reason or "").encode("ascii", "replace")},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _proxy(self, url: httpx.URL) -> str | None:
        if url.scheme != "https":  # it would see the credential; only this machine is asked so
            return None
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if not proxy or proxy_bypass(url.netloc.decode("ascii")):
            return None
        if "://" not in proxy:  # as other programs take it
            proxy = f"http://{proxy}"
        if not proxy.lower().startswith(("http://", "https://")):
            raise Configuration(
                "the proxy that the environment names is no HTTP proxy",
                hint="Set HTTPS_PROXY to one, or NO_PROXY to the hosted API's host.",
            )
        return proxy

    def _open(self, *, encrypted: bool) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ssl=_tls() if encrypted else True, resolver=_Resolver()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            request_class=_Request,
        )
        self._session._retry_connection = False  # noqa: SLF001 - what is sent again is the caller's to decide
        return self._session


class _UnaskedError(aiohttp.ClientConnectionError):
    """Something came over a kept-open connection that nobody asked for; it would pass for the next call's answer."""


class _Request(aiohttp.ClientRequest):
    """Tells when its first byte is about to leave; aiohttp's own tracing costs a quarter of a request."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        protocol = conn.protocol
        if protocol is None or protocol.should_close:
            raise _UnaskedError
        _leaves.get()()
        return await super().send(conn)


class _Resolver(AbstractResolver):
    """Looks names up in threads that no end of the program waits for, as asyncio does for its own."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give the addresses of a host; raises `OSError`."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def tell(addresses: list[Any] | None, problem: OSError | None) -> None:
            if not found.done():
                found.set_exception(problem) if problem else found.set_result(addresses or [])

        def look() -> None:
            addresses, problem = None, None
            try:
                addresses = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
            except OSError as failure:
                problem = failure
            except UnicodeError:  # no name that the resolver can spell
                problem = OSError(socket.EAI_NONAME, "no such name")
            with suppress(RuntimeError):  # the loop is gone, and with it who asked
                loop.call_soon_threadsafe(tell, addresses, problem)

        threading.Thread(target=look, daemon=True).start()
        return [
            ResolveResult(
                hostname=host, host=where[0], port=where[1], family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, where in await found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except aiohttp.ClientError as problem:
            raise _translated(problem) from problem

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        self._response.close()


def _tls() -> ssl.SSLContext:
    import truststore  # patched in where TLS is used, not where JSON-RPC is

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _translated(problem: aiohttp.ClientError) -> httpx.HTTPError:
    """Turn aiohttp's exception into httpx's, so that the caller knows whether the request can have arrived."""
    return next(make(problem) for kind, make in _TRANSLATIONS if isinstance(problem, kind))


# In this order: each is tried before the more general ones below it.
_TRANSLATIONS: tuple[tuple[type[aiohttp.ClientError], Callable[[Any], httpx.HTTPError]], ...] = (
    (_UnaskedError, lambda _: httpx.ConnectError("connection reset")),
    (aiohttp.ClientSSLError, lambda _: httpx.ConnectError("TLS verification failed")),
    (aiohttp.ClientConnectorDNSError, lambda _: httpx.ConnectError("name not resolved")),
    (
        aiohttp.ClientProxyConnectionError,
        lambda problem: httpx.ProxyError(_CAUSES.get(problem.os_error.errno, "connection refused")),
    ),
    (
        aiohttp.ClientConnectorError,
        lambda problem: httpx.ConnectError(_CAUSES.get(problem.os_error.errno, "connection refused")),
    ),
    (aiohttp.ClientHttpProxyError, lambda _: httpx.ProxyError("connection refused")),
    (aiohttp.InvalidURL, lambda _: httpx.ConnectError("name not resolved")),
    (aiohttp.ConnectionTimeoutError, lambda _: httpx.ConnectTimeout("connecting")),
    (aiohttp.ServerDisconnectedError, lambda _: httpx.RemoteProtocolError("connection closed")),
    (aiohttp.ClientOSError, lambda problem: httpx.ReadError(_CAUSES.get(problem.errno, "connection reset"))),
    (aiohttp.ClientConnectionError, lambda _: httpx.ReadError("connection reset")),
    (aiohttp.ClientPayloadError, lambda _: httpx.RemoteProtocolError("connection closed")),
    (aiohttp.ClientError, lambda _: httpx.DecodingError("the answer is no HTTP")),
)
