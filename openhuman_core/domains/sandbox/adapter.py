"""The sandbox's own routes; the hosted API has none of them."""

from __future__ import annotations

from openhuman_core.backend.route import Route, keys
from openhuman_core.domains.sandbox.models import FaultParams

ORDER_FAULT = Route(
    "POST", "/__sandbox/faults", body=keys(*(field.alias or name for name, field in FaultParams.model_fields.items()))
)
SETTLE = Route("POST", "/__sandbox/settle", body=keys("id", "outcome"))
REQUESTS = Route("GET", "/__sandbox/requests")
