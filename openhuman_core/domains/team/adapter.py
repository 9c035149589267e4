"""Teams as the hosted API says it: the wire contract, section 3."""

from __future__ import annotations

from openhuman_core.backend.route import Route, keys

USAGE = Route("GET", "/teams/me/usage")
TEAMS = Route("GET", "/teams")
TEAM = Route("GET", "/teams/{teamId}")
CREATE_TEAM = Route("POST", "/teams", body=keys("name"))
UPDATE_TEAM = Route("PUT", "/teams/{teamId}", body=keys("name"))
DELETE_TEAM = Route("DELETE", "/teams/{teamId}")
SWITCH_TEAM = Route("POST", "/teams/{teamId}/switch", body=keys())
LEAVE_TEAM = Route("POST", "/teams/{teamId}/leave", body=keys())
JOIN_TEAM = Route("POST", "/teams/join", body=keys("code"))
MEMBERS = Route("GET", "/teams/{teamId}/members")
REMOVE_MEMBER = Route("DELETE", "/teams/{teamId}/members/{userId}")
CHANGE_MEMBER_ROLE = Route("PUT", "/teams/{teamId}/members/{userId}/role", body=keys("role"))
CREATE_INVITE = Route("POST", "/teams/{teamId}/invites", body=keys("maxUses", "expiresInDays"))
SEND_EMAIL_INVITE = Route("POST", "/teams/{teamId}/invites/email", body=keys("email"))
INVITES = Route("GET", "/teams/{teamId}/invites")
REVOKE_INVITE = Route("DELETE", "/teams/{teamId}/invites/{inviteId}")
BILLING_PLAN = Route("GET", "/teams/{teamId}/billing/plan")
PURCHASE_PLAN = Route("POST", "/teams/{teamId}/billing/purchase", body=keys("plan", "successUrl", "cancelUrl"))
CREATE_BILLING_PORTAL = Route("POST", "/teams/{teamId}/billing/portal", body=keys("returnUrl"))
