"""What carries the bytes: cancelled calls cost nothing, paths stay as they are, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream

from openhuman_core.backend.transport import AiohttpTransport
from tests.support.recorder import CLOSE, Recorder, ok

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """Answer `/quick` and nothing else."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            while True:
                try:
                    head = await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                if b"/quick" in head:
                    await stream.send(ANSWER)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


async def test_a_pool_serves_after_thousands_of_cancelled_calls() -> None:
    """The default transport of httpx ends in PoolTimeout here: each cancelled call costs it a slot."""
    transport = AiohttpTransport(connections=20, connect_timeout=5)
    sent = 0

    async def call_and_cancel(url: str) -> None:
        left = anyio.Event()

        def leaves() -> None:
            nonlocal sent
            sent += 1
            left.set()

        async with anyio.create_task_group() as call:
            request = httpx.Request("GET", f"{url}/slow", extensions={"leaves": leaves})
            call.start_soon(transport.handle_async_request, request)
            await left.wait()
            call.cancel_scope.cancel()

    async with server() as url:
        with anyio.fail_after(60):
            for _ in range(180):
                async with anyio.create_task_group() as calls:
                    for _ in range(20):
                        calls.start_soon(call_and_cancel, url)
            response = await transport.handle_async_request(httpx.Request("GET", f"{url}/quick"))
            body = await response.aread()
        await response.aclose()
        await transport.aclose()
    assert (sent, response.status_code, body) == (3_600, 200, b"{}")


async def test_a_path_is_sent_as_it_was_encoded(backend: Recorder) -> None:
    """Other encoders turn `%40` into `@` and `%21` into `!`; an id that is encoded whole must stay so."""
    transport = AiohttpTransport(connections=1, connect_timeout=5)
    path = "/teams/a%2Fb%3Fc%40d%21%20~%25%C3%A9%2B?limit=1"
    response = await transport.handle_async_request(httpx.Request("GET", backend.url + path))
    await response.aread()
    await response.aclose()
    await transport.aclose()
    assert [seen.target for seen in backend.seen] == [path]


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "POST"])
async def test_nothing_is_repeated_when_a_kept_connection_drops(backend: Recorder, verb: str) -> None:
    """Whether a call is made again is decided where its effect is known."""
    backend.script = [ok(1), CLOSE]
    transport = AiohttpTransport(connections=1, connect_timeout=5)
    first = await transport.handle_async_request(httpx.Request("GET", backend.url + "/first"))
    await first.aread()
    await first.aclose()
    with pytest.raises(httpx.RemoteProtocolError, match="connection closed"):
        await transport.handle_async_request(httpx.Request(verb, backend.url + "/second"))
    await transport.aclose()
    assert [seen.target for seen in backend.seen] == ["/first", "/second"]
