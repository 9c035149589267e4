"""The journal: what goes in, and the shapes of what comes back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from openhuman_core.registry.params import LocalCount, Params, Text

State = Literal["pending", "done", "unknown", "free"]


class ListParams(Params):
    limit: LocalCount = Field(20, description="How many keys to give.")
    offset: LocalCount = Field(0, description="How many of the newest to pass over.")
    state: State | None = Field(None, description="Give only keys in this state.")


class ResolveParams(Params):
    idempotency_key: Text = Field(description="The key whose outcome is unknown.")
    outcome: Literal["done", "not_done"] = Field(description="What was found: done replays as null, not_done is free.")


class Entry(TypedDict):
    idempotencyKey: str
    method: str
    state: State
    createdAt: str
    updatedAt: str
    attempts: int
