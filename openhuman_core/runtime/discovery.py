"""The description of the whole surface, which takes too long to make for a session to stand still meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio.lowlevel
from anyio import to_thread

from openhuman_core.protocol.messages import RawJson, encode
from openhuman_core.registry.registry import Registry
from openhuman_core.runtime.policy import denial
from openhuman_core.settings import Settings


class Discovery:
    """The OpenRPC document of the methods and the built-ins, made once; `text` is None until then."""

    def __init__(self, registry: Registry, builtins: Mapping[str, Callable[..., Any]], settings: Settings) -> None:
        self.text: RawJson | None = None
        self._registry = registry
        self._builtins = builtins
        self._denial = partial(denial, settings)

    def make(self) -> RawJson:
        """Give the document, made here and now where it is not there yet."""
        from openhuman_core.registry.openrpc import document  # brings pydantic

        if self.text is None:
            self.text = RawJson(encode(document(self._registry.all(), self._builtins, self._denial)))
        return self.text

    async def make_beside(self) -> None:
        """Make the document beside the event loop.

        The models of params are completed on the loop's own thread, one at a time: calls may be doing the same.
        """
        for method in await to_thread.run_sync(self._registry.all, abandon_on_cancel=True):
            method.params.model_rebuild()
            method.options.model_rebuild()
            await anyio.lowlevel.checkpoint()
        await to_thread.run_sync(self.make, abandon_on_cancel=True)
