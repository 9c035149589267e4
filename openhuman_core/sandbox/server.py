"""The sandbox by itself: on a port of 127.0.0.1, with its faults on real connections."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from openhuman_core.sandbox.app import create_app
from openhuman_core.sandbox.seed import SHARED_TEAM, USERS

CONNECTION = "sandbox.connection"  # the name of the TCP connection in a scope's state


async def serve(port: int, state: Path | None, announce: Callable[[str], None]) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; port 0 takes any that is free.

    `announce` is called with one line for each fact: the base URL, once it listens, and then each user.
    Raises OSError where the port is taken, and `Configuration` where `state` is no usable database.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited: head and body are two writes
        facts = [f"http://127.0.0.1:{listener.getsockname()[1]}"]
        facts += [f"{name}: token {name}, {role or 'no role'} in {SHARED_TEAM}" for name, (_, role) in USERS.items()]
        app = _on_connections(create_app(state, facts[0]), facts, announce)
        config = uvicorn.Config(app, http=_Protocol, ws="none", loop="asyncio", access_log=False, log_level="warning")
        config.timeout_graceful_shutdown = 2  # seconds for answers under way
        await _Server(config).serve([listener])


def _on_connections(app: ASGIApp, facts: list[str], announce: Callable[[str], None]) -> ASGIApp:
    """Deliver disturbed answers, which ASGI has no words for, by way of the connection itself."""

    async def deliver(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_close(message: Message) -> None:
            if message["type"] != "sandbox.disturbed":
                return await send(message)
            if message["start"] is not None:
                await send(message["start"])
                async for part in message["parts"]:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            if message["complete"]:
                return await send({"type": "http.response.body"})
            scope["state"][CONNECTION].close()
            while (await receive())["type"] != "http.disconnect":
                pass
            return None

        for fact in facts if scope["type"] == "lifespan" else ():
            announce(fact)
        await app(scope, receive, send_or_close)

    return deliver


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION: transport}


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # uvicorn's raises the signal again after the end
        del sig, frame
        self.force_exit, self.should_exit = self.should_exit, True
