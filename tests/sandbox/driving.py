"""Ways to ask the sandbox something, and the ids of what it starts with."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from openhuman_core.sandbox.transport import SandboxTransport

ADMIN, BILLING, MEMBER, OUTSIDER = (f"{number:024x}" for number in range(1, 5))
SHARED, ADMINS_OWN = f"{10:024x}", f"{11:024x}"
PAY = "/payments/credits/top-up"
CARDS = "/payments/credits/auto-recharge/cards"


def client(app: ASGIApp, user: str | None = "sandbox-admin", **headers: str) -> httpx.AsyncClient:
    """Make a client that is signed in as a user, or as nobody."""
    signed = {} if user is None else {"authorization": f"Bearer {user}"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.AsyncClient(
        transport=SandboxTransport(app), base_url="http://sandbox.localhost", headers=signed | named
    )


async def ask(asker: httpx.AsyncClient, verb: str, path: str, body: Any = None) -> Any:
    """Ask, and return the data of an answer that must be a success."""
    response = await asker.request(verb, path, json=body)
    assert (response.status_code, response.json()["success"]) == (200, True), response.text
    return response.json()["data"]


async def refused(asker: httpx.AsyncClient, verb: str, path: str, body: Any = None) -> tuple[int, str]:
    """Ask, and return status and reason of an answer that must be a refusal."""
    response = await asker.request(verb, path, json=body)
    content = response.json()
    assert content["success"] is False
    assert content["errorCode"].isupper()
    return response.status_code, content["error"]


async def order(asker: httpx.AsyncClient, **fault: Any) -> httpx.Response:
    """Order a fault."""
    return await asker.post("/__sandbox/faults", json=fault)


async def charges(asker: httpx.AsyncClient) -> list[dict[str, Any]]:
    """List the payment links that the sandbox made."""
    ledger = (await asker.get("/__sandbox/charges")).json()
    assert ledger["count"] == len(ledger["charges"])
    found: list[dict[str, Any]] = ledger["charges"]
    return found


async def balance(asker: httpx.AsyncClient) -> tuple[float, float]:
    """Show both funds of the active team."""
    shown = await ask(asker, "GET", "/payments/credits/balance")
    return shown["promotionBalanceUsd"], shown["teamTopupUsd"]


def age(state: Path, kind: str, member: str) -> None:
    """Let time pass: put one time of all documents of a kind into the past."""
    with sqlite3.connect(state) as database:
        past = "2020-01-01T00:00:00.000Z"
        database.execute(
            "UPDATE documents SET document = json_set(document, ?, ?) WHERE kind = ?", (f"$.{member}", past, kind)
        )
    database.close()
