"""API keys, budgets, spend caps and referrals: what goes in, and the documented shapes of what comes back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from openhuman_core.registry.params import Count, OptionalText, Params, Payload, Plan, Segment, Text, trim


class CreateKeyParams(Params):
    name: Text = Field(description="Name of the new key.")
    scopes: list[Literal["read", "write", "inference"]] | None = Field(None, description="What the key may do.")
    allowed_ips: list[str] | None = Field(None, description="Addresses that the key may be used from.")
    expires_at: OptionalText = Field(None, description="When the key ends, as an RFC 3339 time.")


class KeyParams(Params):
    key_id: Segment = Field(description="Id of the API key.")


class KeyCapsParams(KeyParams):
    payload: Payload = Field(description="The caps, as the hosted API names them.")


class CreateSeatParams(Params):
    plan: Plan = Field(description="Plan of the seat.")
    priority: Count | None = Field(None, description="Which seat is used up first.")
    agent_ids: list[str] | None = Field(None, description="Agents that the seat is for.")
    enabled: bool | None = Field(None, description="Whether the seat is in use.")


class SeatParams(Params):
    seat_id: Segment = Field(description="Id of the seat.")


class UpdateSeatParams(SeatParams):
    priority: Count | None = Field(None, description="Which seat is used up first.")
    agent_ids: list[str] | None = Field(None, description="Agents that the seat is for.")
    enabled: bool | None = Field(None, description="Whether the seat is in use.")


class SpendCapsParams(Params):
    payload: Payload = Field(description="The caps, as the hosted API names them.")


class ClaimParams(Params):
    # A blank code is sent: the hosted API has the better answer to it.
    code: Annotated[str, AfterValidator(trim)] = Field(description="Referral code of another user.")
    device_fingerprint: OptionalText = Field(None, description="What tells this device from others.")
