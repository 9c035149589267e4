"""The sandbox without a port: a transport for httpx that calls the application in the same process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SandboxTransport(httpx.AsyncBaseTransport):
    """Sends requests to an application of `create_app`, with its faults as a network client meets them.

    A closed connection is `httpx.RemoteProtocolError`, an answer later than the read timeout `httpx.ReadTimeout`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one request; the body of its answer comes as it is read.

        Of httpx's `trace` extension, it tells when the request begins to leave.
        """
        disturbances: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def deliver(message: Message) -> None:
                if message["type"] == "sandbox.disturbed":
                    disturbances.append(message)
                    await send({"type": "http.response.start", "status": 200})
                    message = {"type": "http.response.body"}
                await send(message)

            await self._app(scope, receive, deliver)

        if "trace" in request.extensions:  # as a transport with a network says when a request begins to leave
            await request.extensions["trace"]("http11.send_request_headers.started", {})
        patience = request.extensions.get("timeout", {}).get("read")
        with _reading(patience):
            response = await httpx.ASGITransport(app).handle_async_request(request)
        for disturbance in disturbances:
            start = disturbance["start"]
            if start is None:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            response = httpx.Response(start["status"], headers=start["headers"], content=_body(disturbance, patience))
        return response


async def _body(disturbance: Message, patience: float | None) -> AsyncIterator[bytes]:
    part: bytes | None = b""
    while part is not None:
        yield part
        with _reading(patience):
            part = await anext(disturbance["parts"], None)
    if not disturbance["complete"]:
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


@contextmanager
def _reading(patience: float | None) -> Iterator[None]:
    try:
        with anyio.fail_after(patience):
            yield
    except TimeoutError:
        raise httpx.ReadTimeout("The read operation timed out") from None
