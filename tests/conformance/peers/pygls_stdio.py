"""pygls over stdio, with a method `ping`."""

from typing import Any

from pygls.lsp.server import LanguageServer  # type: ignore[import-not-found]


def ping(_: Any = None) -> dict[str, bool]:
    """Answer at once."""
    return {"ok": True}


server = LanguageServer("peer", "1")
server.feature("ping")(ping)
server.start_io()
