"""A script of a few lines: import the HTTP library, make one call to URL with a token, print what came."""

import asyncio
import sys

import aiohttp


async def main() -> None:
    """Make the call."""
    async with aiohttp.ClientSession() as session, session.get(sys.argv[1], headers={"authorization": "Bearer t"}) as r:
        print((await r.json())["data"], flush=True)


asyncio.run(main())
