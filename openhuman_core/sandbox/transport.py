"""The sandbox without a port: a transport for httpx that calls the application in the same process."""

from collections.abc import AsyncIterator

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SandboxTransport(httpx.AsyncBaseTransport):
    """Sends requests to an application of `create_app`, with its faults as a network client meets them.

    A closed connection is `httpx.RemoteProtocolError`, whose message is the wire contract's cause.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one request, calling `leaves` of its extensions before; the body of its answer comes as it is read."""
        disturbances: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def deliver(message: Message) -> None:
                if message["type"] == "sandbox.disturbed":
                    disturbances.append(message)
                    await send({"type": "http.response.start", "status": 200})
                    message = {"type": "http.response.body"}
                await send(message)

            await self._app(scope, receive, deliver)

        request.extensions.get("leaves", lambda: None)()
        response = await httpx.ASGITransport(app).handle_async_request(request)
        for disturbance in disturbances:
            start = disturbance["start"]
            if start is None:
                raise httpx.RemoteProtocolError("connection closed")
            response = httpx.Response(start["status"], headers=start["headers"], content=_body(disturbance))
        return response


async def _body(disturbance: Message) -> AsyncIterator[bytes]:
    async for part in disturbance["parts"]:
        yield part
    if not disturbance["complete"]:
        raise httpx.RemoteProtocolError("connection closed")
