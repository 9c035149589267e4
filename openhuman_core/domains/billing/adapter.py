"""Billing as the hosted API says it: the wire contract, section 2."""

from __future__ import annotations

from typing import Any

from openhuman_core.backend.route import Route, keys

FINAL_STATUSES = ("COMPLETED", "OVERPAID", "UNDERPAID", "EXPIRED")

CURRENT_PLAN = Route("GET", "/payments/stripe/currentPlan")
SUMMARY = Route("GET", "/payments/summary")
PLANS = Route("GET", "/payments/stripe/plans")
BALANCE = Route("GET", "/payments/credits/balance")
TRANSACTIONS = Route("GET", "/payments/credits/transactions", query=("limit", "offset"))
AUTO_RECHARGE = Route("GET", "/payments/credits/auto-recharge")
UPDATE_AUTO_RECHARGE = Route("PATCH", "/payments/credits/auto-recharge", body="payload")
CARDS = Route("GET", "/payments/credits/auto-recharge/cards")
CREATE_SETUP_INTENT = Route("POST", "/payments/credits/auto-recharge/cards/setup-intent")
UPDATE_CARD = Route("PATCH", "/payments/credits/auto-recharge/cards/{paymentMethodId}", body="payload")
DELETE_CARD = Route("DELETE", "/payments/credits/auto-recharge/cards/{paymentMethodId}")
PURCHASE_PLAN = Route("POST", "/payments/stripe/purchasePlan", body=keys("plan", "couponCode"))
CREATE_PORTAL_SESSION = Route("POST", "/payments/stripe/portal")
TOP_UP = Route("POST", "/payments/credits/top-up", body=keys("amountUsd", "gateway"))
CREATE_COINBASE_CHARGE = Route("POST", "/payments/coinbase/charge", body=keys("plan", "interval", "metadata"))
COINBASE_CHARGE = Route("GET", "/payments/coinbase/charge/{gatewayTransactionId}", query=("sync",))
REDEEM_COUPON = Route("POST", "/coupons/redeem", body=keys("code"))
COUPONS = Route("GET", "/coupons/me")


def status_of(charge: Any) -> str | None:
    """Give the status of a charge, if it says one."""
    status = charge.get("status") if isinstance(charge, dict) else None
    return status if isinstance(status, str) else None
