"""What is done under a key is done once."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.driving import PAY, SHARED, ask, charges, client, order, refused

pytestmark = pytest.mark.anyio


async def test_a_key_used_again_gives_the_recorded_answer(app: Starlette) -> None:
    """Nothing more is done, and only the request id is another."""
    keyed = client(app, idempotency_key="k")
    first, second = await keyed.post(PAY, json={"amountUsd": 5}), await keyed.post(PAY, json={"amountUsd": 5})
    assert (first.status_code, first.content) == (second.status_code, second.content) == (200, first.content)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(await charges(keyed)) == 1


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [("POST", PAY, {"amountUsd": 6}), ("POST", f"{PAY}?again=1", {"amountUsd": 5}), ("PUT", f"/teams/{SHARED}", {})],
)
async def test_a_key_used_for_something_else_is_a_conflict(app: Starlette, verb: str, path: str, body: object) -> None:
    """Another body, path or method."""
    keyed = client(app, idempotency_key="k")
    await ask(keyed, "POST", PAY, {"amountUsd": 5})
    response = await keyed.request(verb, path, json=body)
    assert (response.status_code, response.json()) == (
        409,
        {
            "success": False,
            "error": "Idempotency key was used for another request",
            "errorCode": "IDEMPOTENCY_CONFLICT",
        },
    )
    assert len(await charges(keyed)) == 1


async def test_a_key_belongs_to_a_user(app: Starlette) -> None:
    """Two users may use the same."""
    for user in ("sandbox-admin", "sandbox-billing"):
        await ask(client(app, user, idempotency_key="k"), "POST", PAY, {"amountUsd": 5})
    assert [charge["user"] for charge in await charges(client(app))] == ["sandbox-admin", "sandbox-billing"]


async def test_a_refusal_is_not_recorded(app: Starlette) -> None:
    """The key is still free for the corrected request."""
    keyed = client(app, idempotency_key="k")
    assert (await refused(keyed, "POST", PAY, {"amountUsd": 0}))[0] == 400
    assert (await ask(keyed, "POST", PAY, {"amountUsd": 5}))["amountUsd"] == 5


async def test_reading_disregards_a_key(app: Starlette) -> None:
    """It has nothing to do once."""
    keyed = client(app, idempotency_key="k")
    assert await ask(keyed, "GET", "/coupons/me") == []
    await ask(client(app), "POST", "/coupons/redeem", {"code": "SANDBOX5"})
    assert len(await ask(keyed, "GET", "/coupons/me")) == 1


async def test_a_login_token_is_replayed_without_a_credential(app: Starlette) -> None:
    """Who has no user shares the keys of nobody."""
    keyed = client(app, None, idempotency_key="k")
    answers = [await ask(keyed, "POST", "/auth/login-token/consume", {"token": "sandbox-login"}) for _ in range(2)]
    assert answers == [{"jwtToken": "sandbox-admin"}] * 2


async def test_an_answer_that_was_cut_off_is_replayed(app: Starlette) -> None:
    """The work was done before the connection closed."""
    keyed = client(app, idempotency_key="k")
    await order(keyed, route=f"POST {PAY}", close="after")
    with pytest.raises(httpx.RemoteProtocolError):
        await keyed.post(PAY, json={"amountUsd": 5})
    (charge,) = await charges(keyed)
    assert (await ask(keyed, "POST", PAY, {"amountUsd": 5}))["gatewayTransactionId"] == charge["id"]
    assert len(await charges(keyed)) == 1


async def test_an_error_after_the_work_is_replayed_as_the_true_answer(app: Starlette) -> None:
    """An ordered 500 hides a success."""
    keyed = client(app, idempotency_key="k")
    await order(keyed, route="*", status=500, act=True)
    assert (await keyed.post(PAY, json={"amountUsd": 5})).status_code == 500
    assert (await ask(keyed, "POST", PAY, {"amountUsd": 5}))["amountUsd"] == 5
    assert len(await charges(keyed)) == 1
