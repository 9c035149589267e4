"""What programs speak, where their protocols differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Framing = Literal["lines", "headers"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How a program is addressed, and which cases it can be measured by.

    `traits` are what its protocol has beyond the least common part:
    - `batches`: JSON-RPC batches. MCP dropped them in 2025-06-18, and LSP never had them;
    - `any id`: null, fractions, and integers of any size. MCP and LSP have strings and integers;
    - `ids again`: the id of a request that was answered may be used again. MCP forbids it;
    - `array params`: params by position. MCP has them by name only;
    - `recovered ids`: the id of malformed input is answered where it can be read. JSON-RPC lets it be null;
    - `framing errors`: bytes that are no frame are answered. LSP and MCP do not say;
    - `lenient`: what the framing's definition does not promise but clients do, such as LF after a header;
    - `limits`: 16 MiB for a frame, 1,000 calls for a batch, 128 levels of nesting, and no lone surrogates;
    - `calls`: an id in flight is not taken twice, and `$/cancelRequest` works whenever it comes;
    - `contract`: `error.data.kind` and messages as our wire contract has them, and exit code 0 at the end of input.
    `talks` tells that the program may send messages of its own.
    """

    framings: tuple[Framing, ...]
    ping: str = "ping"
    pong: Any = None
    task: str = ""
    traits: frozenset[str] = frozenset()
    handshake: tuple[dict[str, Any], ...] = ()
    talks: bool = False


MCP_PARAMS = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "conformance", "version": "1"},
}
LSP_PARAMS: dict[str, Any] = {"processId": None, "rootUri": None, "capabilities": {}}
STANDARD = frozenset({"batches", "any id", "ids again", "array params"})

PROFILES = {
    "openhuman": Profile(
        framings=("lines", "headers"),
        ping="core.ping",
        pong={"ok": True},
        task="openhuman.auth_get_state",
        traits=STANDARD | {"recovered ids", "framing errors", "lenient", "limits", "calls", "contract"},
    ),
    "json-rpc-lines": Profile(framings=("lines",), pong={"ok": True}, traits=STANDARD),
    "json-rpc-headers": Profile(framings=("headers",), pong={"ok": True}, traits=STANDARD),
    "mcp": Profile(
        framings=("lines",),
        pong={},
        handshake=(
            {"jsonrpc": "2.0", "id": "handshake", "method": "initialize", "params": MCP_PARAMS},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
        ),
        talks=True,
    ),
    "lsp": Profile(
        framings=("headers",),
        pong={"ok": True},
        traits=frozenset({"ids again", "array params"}),
        handshake=(
            {"jsonrpc": "2.0", "id": "handshake", "method": "initialize", "params": LSP_PARAMS},
            {"jsonrpc": "2.0", "method": "initialized", "params": {}},
        ),
        talks=True,
    ),
}
