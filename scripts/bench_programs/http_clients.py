"""What one call costs without the daemon: http_clients.py URL KIND CALLS IN_FLIGHT prints the seconds of each call.

KIND is `kept`, an aiohttp session over a warm pool, or `fresh`, a new httpx client for each call, as one-shot scripts
make them.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

HEADERS = {"authorization": "Bearer t"}
Call = Callable[[], Awaitable[None]]


async def drive(call: Call, calls: int, in_flight: int) -> float:
    """Make the calls, so many at a time; gives the seconds for each."""
    left: Iterator[int] = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return (time.perf_counter() - started) / calls


async def kept(url: str, calls: int, in_flight: int) -> float:
    """Use one session; the connections are there when it is timed."""
    import aiohttp  # the other kind has no use for it

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def call() -> None:
            async with session.get(url, headers=HEADERS) as response:
                json.dumps(json.loads(await response.read())["data"])

        await drive(call, in_flight, in_flight)
        return await drive(call, calls, in_flight)


async def fresh(url: str, calls: int, in_flight: int) -> float:
    """Use a client for each call."""
    import httpx

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            json.dumps((await client.get(url, headers=HEADERS)).json()["data"])

    return await drive(call, calls, in_flight)


if __name__ == "__main__":
    kinds = {"kept": kept, "fresh": fresh}
    print(asyncio.run(kinds[sys.argv[2]](sys.argv[1], int(sys.argv[3]), int(sys.argv[4]))))
