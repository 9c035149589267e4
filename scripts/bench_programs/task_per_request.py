"""What asyncio's documentation leads to: stream reader and writer on the pipes, and a task for each request."""

import asyncio
import json
import sys
from asyncio.streams import FlowControlMixin


async def answer(line: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer one request without a check."""
    message = {"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": {"ok": True}}
    writer.write(json.dumps(message).encode() + b"\n")


async def main() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(FlowControlMixin, sys.stdout.buffer)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    async with asyncio.TaskGroup() as tasks:
        async for line in reader:
            tasks.create_task(answer(line, writer))
    await writer.drain()


asyncio.run(main())
