"""Billing: what goes in, and the documented shapes of what comes back. Amounts are USD."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from openhuman_core.registry.params import (
    Count,
    JsonObject,
    LocalCount,
    OptionalText,
    Params,
    Payload,
    Plan,
    PositiveNumber,
    Segment,
    Text,
    own_check,
    trim,
)

GATEWAYS = ("stripe", "coinbase")


def _gateway(text: str) -> str:
    gateway = trim(text).lower() or "stripe"
    if gateway not in GATEWAYS:
        raise own_check(f"must be one of: {', '.join(GATEWAYS)}")
    return gateway


class TransactionsParams(Params):
    limit: Count = Field(20, description="How many transactions to give.")
    offset: Count = Field(0, description="How many of the newest to pass over.")


class AutoRechargeParams(Params):
    payload: Payload = Field(description="The settings to change, as the hosted API names them.")


class CardParams(Params):
    payment_method_id: Segment = Field(description="Id of the saved card.")


class UpdateCardParams(CardParams):
    payload: Payload = Field(description="What to change about the card, as the hosted API names it.")


class PurchasePlanParams(Params):
    plan: Plan = Field(description="Plan to buy, such as BASIC_MONTHLY or PRO_YEARLY.")
    coupon_code: OptionalText = Field(None, description="Coupon to apply to the purchase.")


class TopUpParams(Params):
    amount_usd: PositiveNumber = Field(description="How much credit to buy, in USD.")
    gateway: Annotated[str, AfterValidator(_gateway)] = Field("stripe", description="Who takes it: stripe or coinbase.")


class CreateChargeParams(Params):
    plan: Plan = Field(description="Plan to buy, such as BASIC or PRO.")
    interval: Annotated[str, AfterValidator(lambda text: trim(text) or "annual")] = Field(
        "annual", description="How long one payment lasts."
    )
    metadata: JsonObject | None = Field(None, description="What to keep with the charge.")


class ChargeParams(Params):
    gateway_transaction_id: Segment = Field(description="Id of the charge.")
    sync: bool = Field(default=False, description="Whether to ask Coinbase first.")


class PageParams(Params):
    limit: LocalCount = Field(20, description="How many to give.")
    offset: LocalCount = Field(0, description="How many of the newest to pass over.")


class WaitParams(Params):
    gateway_transaction_id: Segment = Field(description="Id of the charge.")
    timeout_seconds: LocalCount = Field(600, description="How long to follow it, in seconds.")


class CouponParams(Params):
    code: Text = Field(description="Code of the coupon.")


class Subscription(TypedDict):
    id: str
    status: str
    currentPeriodEnd: str
    quantity: int


class CurrentPlan(TypedDict):
    plan: Literal["FREE", "BASIC", "PRO"]
    hasActiveSubscription: bool
    planExpiry: str | None
    subscription: Subscription | None
    monthlyBudgetUsd: float
    weeklyBudgetUsd: float
    fiveHourCapUsd: float


class PurchasePlan(TypedDict):
    checkoutUrl: str | None
    sessionId: str


class Portal(TypedDict):
    portalUrl: str


class CoinbaseCharge(TypedDict):
    gatewayTransactionId: str
    hostedUrl: str
    status: str
    expiresAt: str


class ChargePayment(TypedDict):
    status: str
    amountPaid: str | float
    amountExpected: str | float
    currency: str
    underpaidAmount: str | float
    overpaidAmount: str | float


class ChargeStatus(TypedDict):
    status: Literal["NEW", "PENDING", "COMPLETED", "UNDERPAID", "OVERPAID", "EXPIRED"]
    payment: ChargePayment
    expiresAt: str


class TopUp(TypedDict):
    url: str
    gatewayTransactionId: str
    amountUsd: float
    gateway: str


class PaymentLink(TypedDict):
    method: str
    bought: str
    url: str
    ids: dict[str, str]
    amountUsd: NotRequired[float]
    createdAt: str
    expiresAt: NotRequired[str]
    status: NotRequired[str]
    idempotencyKey: NotRequired[str]


class Balance(TypedDict):
    promotionBalanceUsd: float
    teamTopupUsd: float


class Transaction(TypedDict):
    id: str
    type: Literal["EARN", "SPEND"]
    action: str
    amountUsd: float
    balanceAfterUsd: float
    createdAt: str


class Transactions(TypedDict):
    transactions: list[Transaction]
    total: int


class AutoRecharge(TypedDict):
    enabled: bool
    thresholdUsd: float
    rechargeAmountUsd: float
    weeklyLimitUsd: float
    spentThisWeekUsd: float
    weekStartDate: str
    inFlight: bool
    hasSavedPaymentMethod: bool
    lastTriggeredAt: str | None
    lastRechargeAt: str | None
    lastPaymentIntentId: str | None
    lastError: str | None


class Address(TypedDict):
    line1: str
    city: str
    state: str
    postalCode: str
    country: str


class BillingDetails(TypedDict):
    name: NotRequired[str]
    email: NotRequired[str]
    address: NotRequired[Address]


class Card(TypedDict):
    id: str
    brand: str
    expMonth: int
    expYear: int
    isDefault: bool
    last4: str
    billingDetails: BillingDetails


class Cards(TypedDict):
    customerId: str
    defaultPaymentMethodId: str
    cards: list[Card]


class SetupIntent(TypedDict):
    clientSecret: str
    customerId: str
    setupIntentId: str


class CouponRedemption(TypedDict):
    couponCode: str
    amountUsd: float
    pending: bool


class Coupon(TypedDict):
    code: str
    amountUsd: float
    redeemedAt: str | None
    activationType: str
    fulfilled: bool
    fulfilledAt: str | None
    activationCondition: str | None
