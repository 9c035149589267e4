"""The rest of the account as the hosted API says it: the wire contract, section 4."""

from __future__ import annotations

from openhuman_core.backend.route import Route, keys

API_KEYS = Route("GET", "/api-keys")
CREATE_API_KEY = Route("POST", "/api-keys", body=keys("name", "scopes", "allowedIps", "expiresAt"))
REVOKE_API_KEY = Route("DELETE", "/api-keys/{keyId}")
SET_API_KEY_SPEND_CAPS = Route("PUT", "/api-keys/{keyId}/spend-caps", body="payload")
BUDGETS = Route("GET", "/budgets")
CREATE_SEAT = Route("POST", "/budgets/seats", body=keys("plan", "priority", "agentIds", "enabled"))
UPDATE_SEAT = Route("PATCH", "/budgets/seats/{seatId}", body=keys("priority", "agentIds", "enabled"))
DELETE_SEAT = Route("DELETE", "/budgets/seats/{seatId}")
SPEND_CAPS = Route("GET", "/spend-caps")
SET_SPEND_CAPS = Route("PUT", "/spend-caps", body="payload")
REFERRAL_STATS = Route("GET", "/referral/stats")
CLAIM_REFERRAL = Route("POST", "/referral/claim", body=keys("code", "deviceFingerprint"))
