"""What a method gives back."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from openhuman_core.protocol.messages import RawJson

T = TypeVar("T")
Anything = dict[str, Any]  # the shape of an object whose members are not documented


class RpcOutcome(Generic[T]):
    """A method's value and its log lines; without any, the wire shows the bare value.

    `T` is the documented shape. What came from the hosted API stays the JSON text that it was: shapes are never a
    filter, since fields come and go there.
    """

    def __init__(self, value: T | RawJson, *logs: str) -> None:
        self.value = value
        self.logs = logs
