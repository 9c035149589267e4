"""The declaration of a method: a typed function, the route it shows, and what making it does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from openhuman_core.backend.route import Effect, Route
from openhuman_core.registry.outcome import RpcOutcome

if TYPE_CHECKING:  # pydantic is costly to import; looking a method up does not need it
    from openhuman_core.registry.params import Params, ReadOptions

# Takes the call's Context and the params of its own model.
Handler = Callable[[Any, Any], Awaitable[RpcOutcome[Any]]]
H = TypeVar("H", bound=Handler)


def summary_of(handler: Callable[..., Any]) -> str:
    """Give a handler's docstring as one line of text."""
    return " ".join((inspect.getdoc(handler) or "").split())


@dataclass(frozen=True)
class Method:
    """One method.

    `route` is None for a method that asks the hosted API nothing. `log` is the outcome's last log line; without one the
    wire shows the bare value. `needs_credential` says whether the method is refused without one. `destructive` and
    `secret` are the contract's marks. `verify` is the method that shows whether a call which may have acted did, and
    `spends` the param that says how many USD a call may spend. `waits` marks one that only waits for others to act.
    """

    namespace: Namespace
    function: str
    handler: Handler
    effect: Effect
    route: Route | None
    log: str | None
    needs_credential: bool
    destructive: bool
    secret: bool
    verify: str | None
    spends: str | None
    waits: bool

    @property
    def name(self) -> str:
        """The name on the wire."""
        return f"{self.namespace.prefix}{self.function}"

    @property
    def writes(self) -> bool:
        """Whether a call may change anything."""
        return self.effect is not Effect.READ

    @property
    def asks_first(self) -> bool:
        """Whether a person is asked before the call is made."""
        return self.destructive or self.effect is Effect.MONEY

    @cached_property
    def summary(self) -> str:
        """The docstring as one line of text."""
        return summary_of(self.handler)

    @cached_property
    def params(self) -> type[Params]:
        """The model of the method's own params."""
        model: type[Params] = self._hints["params"]
        return model

    @cached_property
    def result(self) -> Any:
        """The documented shape of the payload."""
        return get_args(self._hints["return"])[0]

    @cached_property
    def options(self) -> type[ReadOptions]:
        """The model of the params that every method of this effect takes."""
        from openhuman_core.registry.params import ReadOptions, WriteOptions

        return ReadOptions if self.effect is Effect.READ else WriteOptions

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.handler)


class Namespace:
    """A named group of methods that is filled by decoration; `prefix` begins their wire names."""

    def __init__(self, name: str, prefix: str | None = None) -> None:
        self.name = name
        self.prefix = f"openhuman.{name}_" if prefix is None else prefix
        self.methods: dict[str, Method] = {}

    def method(
        self,
        route: Route | None = None,
        *,
        effect: Effect,
        log: str | None = None,
        needs_credential: bool | None = None,
        destructive: bool = False,
        secret: bool = False,
        verify: str | None = None,
        spends: str | None = None,
        waits: bool = False,
    ) -> Callable[[H], H]:
        """Declare the decorated function as the method of its name, less the namespace where it begins with it.

        A method with a route needs a credential, and one without does not, unless `needs_credential` says otherwise.
        """

        def declare(handler: H) -> H:
            function = handler.__name__.removeprefix(f"{self.name}_")
            needs = route is not None if needs_credential is None else needs_credential
            self.methods[function] = Method(
                self, function, handler, effect, route, log, needs, destructive, secret, verify, spends, waits
            )
            return handler

        return declare
