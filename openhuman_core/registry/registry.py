"""The set of methods; a namespace is loaded when one of its methods is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from openhuman_core.errors import MethodNotFound

if TYPE_CHECKING:  # start-up pays for each import, and no method is declared before it is asked for
    from openhuman_core.registry.method import Method, Namespace


class Registry:
    """Methods by wire name; `loaders` give a namespace by the prefix of its methods' names."""

    def __init__(self, loaders: Mapping[str, Callable[[], Namespace]]) -> None:
        self._loaders = loaders
        self._unloaded = list(loaders)
        self._methods: dict[str, Method] = {}

    def is_loaded(self, name: str) -> bool:
        """Tell whether looking a name up needs no namespace to be loaded."""
        return name in self._methods or not any(map(name.startswith, self._unloaded))

    def load(self, name: str) -> None:
        """Load the namespaces that a method of this name may be in."""
        for prefix in filter(name.startswith, self._unloaded):
            self._methods.update((method.name, method) for method in self._loaders[prefix]().methods.values())
            self._unloaded = [other for other in self._unloaded if other != prefix]

    def find(self, name: str) -> Method:
        """Look a method up; raises `MethodNotFound`."""
        if name not in self._methods:
            self.load(name)
        if name not in self._methods:
            raise MethodNotFound(f"unknown method: {name} (method not found)")
        return self._methods[name]

    def namespace(self, prefix: str) -> list[Method]:
        """Give the methods whose names begin so, in the order of declaration."""
        return [*self._loaders[prefix]().methods.values()]

    def all(self) -> list[Method]:
        """Give every method, in the order of declaration."""
        return [method for prefix in self._loaders for method in self.namespace(prefix)]
