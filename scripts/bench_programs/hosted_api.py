"""A stand-in for the hosted API that costs next to nothing: every request is answered with the same envelope.

hosted_api.py [--delay SECONDS] [--tls CERTIFICATE KEY] prints the port. With a delay it is so many seconds away, each
way, as a network has it: bytes arrive late, and a new connection is there after one round trip. Requests for
transactions get a page of 5 MB.
"""

import argparse
import asyncio
import json
import ssl
from itertools import repeat

BALANCE = {"success": True, "data": {"promotionBalanceUsd": 5.0, "teamTopupUsd": 12.5}}
TRANSACTION = {"id": "0123456789abcdef", "amountUsd": -0.25, "createdAt": "2026-01-01T00:00:00.000Z", "type": "USAGE"}
PAGE = {"success": True, "data": {"transactions": [*repeat(TRANSACTION, 5_000_000 // len(json.dumps(TRANSACTION)))]}}


def answer(envelope: object) -> bytes:
    """Make an HTTP answer."""
    body = json.dumps(envelope).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class HostedApi(asyncio.Protocol):
    """One connection; requests without a body are all that it understands."""

    short, page = answer(BALANCE), answer(PAGE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._rest = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for request in requests:
            self._transport.write(self.page if b"/transactions" in request else self.short)


async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float, ahead: float) -> None:
    """Carry bytes one way, `delay` late; the first of them `ahead` later still, as a connection is made."""
    loop = asyncio.get_running_loop()
    open_from = loop.time() + ahead
    while data := await source.read(65_536):
        loop.call_at(max(loop.time(), open_from) + delay, target.write, data)
    loop.call_later(delay, target.close)


async def main() -> None:
    """Serve for ever."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--tls", nargs=2)
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if options.tls else None
    if context:
        context.load_cert_chain(*options.tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(HostedApi, "127.0.0.1", 0, ssl=context, backlog=1024)
    near = server.sockets[0].getsockname()[1]

    async def away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", near)
        await asyncio.gather(
            forward(reader, forth, options.delay, 2 * options.delay), forward(back, writer, options.delay, 0)
        )

    far = await asyncio.start_server(away, "127.0.0.1", 0)
    print(far.sockets[0].getsockname()[1] if options.delay else near, flush=True)
    await server.serve_forever()


asyncio.run(main())
