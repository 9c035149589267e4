"""The sandbox's own routes; the hosted API has none of them."""

from __future__ import annotations

from openhuman_core.backend.route import Route, keys

ORDER_FAULT = Route(
    "POST",
    "/__sandbox/faults",
    body=keys(
        "route",
        "times",
        "latencyMs",
        "status",
        "headers",
        "body",
        "act",
        "close",
        "cut",
        "dripMs",
        "notJson",
        "html404",
    ),
)
SETTLE = Route("POST", "/__sandbox/settle", body=keys("id", "outcome"))
REQUESTS = Route("GET", "/__sandbox/requests")
