"""Money adds up to the cent, whatever happens."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhuman_core.sandbox.app import create_app
from openhuman_core.sandbox.call import to_cents, to_usd
from tests.sandbox.driving import PAY, client

STEPS = st.one_of(
    st.tuples(st.just("top-up"), st.integers(1, 99_999_999)),
    st.tuples(st.just("settle"), st.integers(0, 5), st.sampled_from(["pay", "decline"])),
    st.tuples(st.just("coupon"), st.sampled_from(["SANDBOX5", "SANDBOX10", "SANDBOX20", "NONE"])),
)


async def play(steps: list[tuple[Any, ...]]) -> None:
    """Take the steps, and compare the balance with the transactions after each."""
    async with client(create_app()) as admin:
        links: list[str] = []
        for kind, *rest in steps:
            if kind == "top-up":
                top_up = await admin.post(PAY, json={"amountUsd": rest[0] / 100})
                links.append(top_up.json()["data"]["gatewayTransactionId"])
            elif kind == "coupon":
                await admin.post("/coupons/redeem", json={"code": rest[0]})
            elif rest[0] < len(links):
                await admin.post("/__sandbox/settle", json={"id": links[rest[0]], "outcome": rest[1]})
            page = (await admin.get("/payments/credits/transactions?limit=1000&offset=0")).json()["data"]
            funds = (await admin.get("/payments/credits/balance")).json()["data"]
            entries = page["transactions"]
            assert page["total"] == len(entries)
            running = Decimal(0)
            for entry in reversed(entries):
                amount = Decimal(str(entry["amountUsd"]))
                running += amount if entry["type"] == "EARN" else -amount
                assert Decimal(str(entry["balanceAfterUsd"])) == running
            assert sum(Decimal(str(fund)) for fund in funds.values()) == running


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_the_balance_is_what_the_transactions_add_up_to(steps: list[tuple[Any, ...]]) -> None:
    """Whatever is bought, paid, declined or redeemed, and in which order."""
    anyio.run(play, steps)


@given(st.integers(0, 99_999_999))
def test_cents_survive_the_wire(cents: int) -> None:
    """Writing an amount in USD and reading it back is exact."""
    assert to_cents(to_usd(cents)) == cents


@pytest.mark.parametrize(("cents", "written"), [(0, "0"), (5, "0.05"), (2500, "25"), (1999, "19.99")])
def test_whole_dollars_have_no_fraction(cents: int, written: str) -> None:
    """As JavaScript writes them."""
    assert str(to_usd(cents)) == written
