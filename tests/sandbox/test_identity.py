"""Session tokens, API keys and login tokens."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from openhuman_core.sandbox.app import create_app
from tests.sandbox.driving import ADMIN, ADMINS_OWN, SHARED, age, ask, client, refused

pytestmark = pytest.mark.anyio


async def test_a_session_token_shows_its_user(admin: httpx.AsyncClient) -> None:
    """The token of a seeded user is the user's name."""
    user = await ask(admin, "GET", "/auth/me")
    assert user.pop("createdAt").endswith("Z")
    assert user == {
        "_id": ADMIN,
        "firstName": "Ada",
        "email": "sandbox-admin@example.com",
        "username": "sandbox-admin",
        "activeTeamId": SHARED,
        "personalTeamId": ADMINS_OWN,
        "referralCode": "REF-ADA",
    }


async def test_a_token_that_was_not_issued_is_refused(app: Starlette) -> None:
    """With the words that the hosted API has for it."""
    response = await client(app, "somebody").get("/auth/me")
    assert (response.status_code, response.json()) == (
        401,
        {"success": False, "error": "Invalid token", "errorCode": "INVALID_CREDENTIAL"},
    )


async def test_a_login_token_is_worth_one_session(app: Starlette) -> None:
    """It needs no credential, and is refused the second time."""
    nobody = client(app, None)
    consumed = await ask(nobody, "POST", "/auth/login-token/consume", {"token": "sandbox-login"})
    assert consumed == {"jwtToken": "sandbox-admin"}
    again = await refused(nobody, "POST", "/auth/login-token/consume", {"token": "sandbox-login"})
    assert again == (400, "Login token has already been used")


async def test_an_unknown_login_token_is_refused(app: Starlette) -> None:
    """As a credential would be."""
    answer = await refused(client(app, None), "POST", "/auth/login-token/consume", {"token": "other"})
    assert answer == (401, "Invalid login token")


async def test_an_api_key_is_shown_once_and_works_until_it_is_revoked(app: Starlette, admin: httpx.AsyncClient) -> None:
    """Afterwards only its ends are listed."""
    key = await ask(admin, "POST", "/api-keys", {"name": "ci"})
    secret = key.pop("key")
    assert (key["prefix"], key["last4"], key["scopes"]) == (secret[:8], secret[-4:], ["read", "write", "inference"])
    assert await ask(admin, "GET", "/api-keys") == [key]
    holder = client(app, None, x_api_key=secret)
    assert (await ask(holder, "GET", "/auth/me"))["username"] == "sandbox-admin"
    revoked = await ask(admin, "DELETE", f"/api-keys/{key['id']}")
    assert revoked["revokedAt"] is not None
    assert await refused(holder, "GET", "/auth/me") == (401, "Invalid API key")
    assert await refused(client(app, secret), "GET", "/auth/me") == (401, "Invalid token")


@pytest.mark.parametrize(
    ("scopes", "read", "write"),
    [(["read"], 200, 403), (["write"], 200, 200), (["inference"], 403, 403), (["read", "write"], 200, 200)],
)
async def test_scopes_bound_what_an_api_key_does(
    app: Starlette, admin: httpx.AsyncClient, scopes: list[str], read: int, write: int
) -> None:
    """Reading needs `read` or `write`, everything else `write`."""
    key = await ask(admin, "POST", "/api-keys", {"name": "ci", "scopes": scopes})
    holder = client(app, None, x_api_key=key["key"])
    assert (await holder.get("/teams")).status_code == read
    assert (await holder.post("/teams", json={"name": "New"})).status_code == write


async def test_an_api_key_expires(tmp_path: Path) -> None:
    """Then it is worth no more than one that was revoked."""
    app = create_app(tmp_path / "state")
    key = await ask(client(app), "POST", "/api-keys", {"name": "ci", "expiresAt": "2999-01-01T00:00:00Z"})
    holder = client(app, None, x_api_key=key["key"])
    assert (await holder.get("/auth/me")).status_code == 200
    age(tmp_path / "state", "API key", "expiresAt")
    assert await refused(holder, "GET", "/auth/me") == (401, "Invalid API key")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "name must be a string that is not empty"),
        ({"name": "ci", "scopes": ["all"]}, "scopes must be an array; each must be one of: read, write, inference"),
        (
            {"name": "ci", "allowedIps": "127.0.0.1"},
            "allowedIps must be an array; each must be a string that is not empty",
        ),
        ({"name": "ci", "expiresAt": "tomorrow"}, "expiresAt must be an ISO 8601 time in UTC"),
    ],
)
async def test_a_bad_api_key_is_not_made(admin: httpx.AsyncClient, body: object, reason: str) -> None:
    """The reason names what is wrong."""
    assert await refused(admin, "POST", "/api-keys", body) == (400, reason)
    assert await ask(admin, "GET", "/api-keys") == []


async def test_an_api_key_of_somebody_else_is_not_found(admin: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    """Keys belong to users, not to teams."""
    key = await ask(admin, "POST", "/api-keys", {"name": "ci"})
    assert await refused(member, "DELETE", f"/api-keys/{key['id']}") == (404, "API key not found")


async def test_requests_are_remembered_without_their_credentials(app: Starlette, admin: httpx.AsyncClient) -> None:
    """A credential is shown as the name of its user."""
    key = await ask(admin, "POST", "/api-keys", {"name": "ci"})
    await admin.delete("/__sandbox/requests")
    await admin.put("/teams/a%2Fb?x=%20", content=b'{"name": 1}')
    await client(app, None, x_api_key=key["key"]).get("/teams")
    await client(app, "stolen", x_api_key="stolen").get("/teams")
    sent = (await admin.get("/__sandbox/requests")).json()["requests"]
    assert [{name: one[name] for name in ("method", "path", "body")} for one in sent] == [
        {"method": "PUT", "path": "/teams/a%2Fb?x=%20", "body": '{"name": 1}'},
        {"method": "GET", "path": "/teams", "body": ""},
        {"method": "GET", "path": "/teams", "body": ""},
    ]
    assert [(one["headers"].get("authorization"), one["headers"].get("x-api-key")) for one in sent] == [
        ("sandbox-admin", None),
        (None, "sandbox-admin"),
        ("<unknown>", "<unknown>"),
    ]
    assert all(one["at"].endswith("Z") for one in sent)
    assert (await admin.delete("/__sandbox/requests")).json() == {"count": 0, "requests": []}
