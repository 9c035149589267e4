"""python-lsp-jsonrpc over stdio, with a method `ping`."""

import sys
from typing import Any

from pylsp_jsonrpc.endpoint import Endpoint  # type: ignore[import-not-found]
from pylsp_jsonrpc.streams import JsonRpcStreamReader, JsonRpcStreamWriter  # type: ignore[import-not-found]


def ping(_: Any = None) -> dict[str, bool]:
    """Answer at once."""
    return {"ok": True}


def initialize(_: Any = None) -> dict[str, Any]:
    """Offer nothing."""
    return {"capabilities": {}}


def initialized(_: Any = None) -> None:
    """Take note that the client is ready."""


endpoint = Endpoint(
    {"ping": ping, "initialize": initialize, "initialized": initialized}, JsonRpcStreamWriter(sys.stdout.buffer).write
)
JsonRpcStreamReader(sys.stdin.buffer).listen(endpoint.consume)
