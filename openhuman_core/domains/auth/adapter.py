"""Auth as the hosted API says it: the wire contract, section 5; `backend.me` has /auth/me."""

from __future__ import annotations

from openhuman_core.backend.route import Route

CONSUME_LOGIN_TOKEN = Route("POST", "/auth/login-token/consume", body={"token": "loginToken"})
