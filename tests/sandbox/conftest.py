"""A fresh sandbox, and clients of it."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from openhuman_core.sandbox.app import create_app
from tests.sandbox.driving import client


@pytest.fixture
def app() -> Starlette:
    """Give a sandbox that starts anew."""
    return create_app()


@pytest.fixture
def admin(app: Starlette) -> httpx.AsyncClient:
    """Give a client of the shared team's ADMIN."""
    return client(app)


@pytest.fixture
def billing(app: Starlette) -> httpx.AsyncClient:
    """Give a client of the shared team's BILLING_MANAGER."""
    return client(app, "sandbox-billing")


@pytest.fixture
def member(app: Starlette) -> httpx.AsyncClient:
    """Give a client of the shared team's MEMBER."""
    return client(app, "sandbox-member")


@pytest.fixture
def outsider(app: Starlette) -> httpx.AsyncClient:
    """Give a client of a user with nothing but a personal team."""
    return client(app, "sandbox-outsider")
