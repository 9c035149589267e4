"""The sandbox's own methods: what goes in, and the shapes of what comes back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from openhuman_core.registry.params import Count, Params, Text


class FaultParams(Params):
    route: Text = Field(description="Verb and path template, such as POST /payments/credits/top-up, or * for any.")
    times: Count = Field(1, description="How many answers are to be faulty.")
    latency_ms: Count | None = Field(None, description="How long the answer is held back, in ms.")
    status: Count | None = Field(None, description="Status to answer with; the work is not done unless act is true.")
    headers: dict[str, str] | None = Field(None, description="Headers to add to the answer.")
    body: Any = Field(None, description="Body to answer with: JSON, or a string that is sent as it is.")
    act: bool | None = Field(None, description="Whether the work is done all the same.")
    close: Literal["before", "after"] | None = Field(
        None, description="Close the connection, and on which side of the work."
    )
    cut: Count | None = Field(None, description="After how many bytes the body ends too early.")
    drip_ms: Count | None = Field(None, description="How many ms lie between the bytes of the body.")
    not_json: Literal[True] | None = Field(None, description="Answer with a body that is no JSON.")
    html404: Literal[True] | None = Field(None, description="Answer as for a route that there is not.")


class SettleParams(Params):
    id: Text = Field(description="Id of a payment link: its gatewayTransactionId or sessionId.")
    outcome: Literal["pay", "decline"] = Field(description="What the payer does.")
