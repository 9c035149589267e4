"""The MCP Python SDK's own server over stdio; `ping` is built in."""

import anyio
from mcp.server.lowlevel import Server  # type: ignore[import-not-found]
from mcp.server.stdio import stdio_server  # type: ignore[import-not-found]


async def main() -> None:
    """Serve until the input ends."""
    server = Server("peer")
    async with stdio_server() as (source, target):
        await server.run(source, target, server.create_initialization_options())


anyio.run(main)
