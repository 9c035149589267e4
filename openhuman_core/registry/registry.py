"""The set of methods; a namespace is loaded when one of its methods is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openhuman_core.errors import MethodNotFound
from openhuman_core.registry.method import Method, Namespace


class Registry:
    """Methods by wire name; `loaders` give a namespace by the prefix of its methods' names."""

    def __init__(self, loaders: Mapping[str, Callable[[], Namespace]]) -> None:
        self._loaders = loaders
        self._methods: dict[str, Method] = {}

    def find(self, name: str) -> Method:
        """Look a method up; raises `MethodNotFound`."""
        method = self._methods.get(name)
        if method is None:
            for prefix in self._loaders:
                if name.startswith(prefix):
                    self._load(prefix)
            method = self._methods.get(name)
        if method is None:
            raise MethodNotFound(f"unknown method: {name} (method not found)")
        return method

    def all(self) -> list[Method]:
        """Give every method, in the order of declaration."""
        return [method for prefix in self._loaders for method in self._load(prefix)]

    def _load(self, prefix: str) -> list[Method]:
        methods = list(self._loaders[prefix]().methods.values())
        self._methods.update((method.name, method) for method in methods)
        return methods
