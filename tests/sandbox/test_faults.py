"""Faults, as a client in the same process meets them."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from tests.sandbox.driving import PAY, ask, charges, order

pytestmark = pytest.mark.anyio

TOP_UP = f"POST {PAY}"
A_LONG_TIME_MS = 60_000


async def pay(asker: httpx.AsyncClient) -> httpx.Response:
    """Ask for five dollars."""
    return await asker.post(PAY, json={"amountUsd": 5})


async def test_orders_queue_up_for_a_route(admin: httpx.AsyncClient) -> None:
    """First in, first out, as often as ordered, and then no more."""
    assert (await order(admin, route=TOP_UP, times=2, status=503)).json() == {"queued": 2}
    assert (await order(admin, route=TOP_UP, status=429, headers={"Retry-After": "7"})).json() == {"queued": 3}
    assert await ask(admin, "GET", "/coupons/me") == []
    answers = [await pay(admin) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 429, 200]
    assert answers[2].headers["retry-after"] == "7"
    assert answers[0].json() == {"success": False, "error": "Ordered by a fault", "errorCode": "SANDBOX_FAULT"}
    assert all(answer.headers["x-request-id"] for answer in answers)
    assert len(await charges(admin)) == 1


async def test_an_order_for_any_route_takes_the_next_request(admin: httpx.AsyncClient) -> None:
    """Even one that has no route; orders for the route itself come first."""
    await order(admin, route="*", times=2, status=500)
    await order(admin, route=TOP_UP, status=502)
    assert (await pay(admin)).status_code == 502
    assert (await pay(admin)).status_code == 500
    assert (await admin.get("/nothing")).status_code == 500
    assert (await admin.get("/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("fault", "status", "content", "acted"),
    [
        ({"status": 500}, 500, None, False),
        ({"status": 500, "act": True}, 500, None, True),
        ({"status": 201, "act": True}, 201, None, True),
        ({"status": 204}, 204, b"", False),
        ({"status": 204, "act": True}, 204, b"", True),
        ({"status": 302, "headers": {"location": "/"}}, 302, b"", False),
        ({"status": 409, "body": {"success": False}}, 409, b'{"success":false}', False),
        ({"body": "{"}, 200, b"{", True),
        ({"body": None}, 200, b"null", True),
        ({"headers": {"X-More": "1"}}, 200, None, True),
        ({"notJson": True, "act": False}, 200, None, False),
        ({"notJson": True, "act": True}, 200, None, True),
        ({"html404": True}, 404, None, False),
        ({"html404": False, "notJson": False, "latencyMs": 0}, 200, None, True),
    ],
)
async def test_a_fault_says_what_is_answered_and_whether_the_work_is_done(
    admin: httpx.AsyncClient, fault: dict[str, Any], status: int, content: bytes | None, *, acted: bool
) -> None:
    """The work is not done where another answer stands in its place, unless asked."""
    assert (await order(admin, route=TOP_UP, **fault)).status_code == 200
    answer = await pay(admin)
    assert answer.status_code == status
    assert content is None or answer.content == content
    assert all(answer.headers[name] == value for name, value in fault.get("headers", {}).items())
    assert len(await charges(admin)) == acted


@pytest.mark.parametrize(("fault", "status"), [({"notJson": True}, 200), ({"html404": True}, 404)])
async def test_a_page_stands_in_for_json(admin: httpx.AsyncClient, fault: dict[str, Any], status: int) -> None:
    """As from a proxy, or from a route that is missing."""
    await order(admin, route=TOP_UP, **fault)
    answer = await pay(admin)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")


async def test_a_text_is_sent_as_text(admin: httpx.AsyncClient) -> None:
    """Unless a header says otherwise."""
    await order(admin, route=TOP_UP, body='{"success": tr')
    await order(admin, route=TOP_UP, body="{}", headers={"Content-Type": "application/json"})
    assert (await pay(admin)).headers["content-type"] == "text/plain; charset=utf-8"
    assert (await pay(admin)).headers["content-type"] == "application/json"


@pytest.mark.parametrize(("side", "acted"), [("before", 0), ("after", 1)])
async def test_a_connection_is_closed_on_either_side_of_the_work(
    admin: httpx.AsyncClient, side: str, acted: int
) -> None:
    """The client cannot tell which."""
    await order(admin, route=TOP_UP, close=side)
    with pytest.raises(httpx.RemoteProtocolError, match="connection closed"):
        await pay(admin)
    assert len(await charges(admin)) == acted


@pytest.mark.parametrize("cut", [0, 10, 1_000_000])
async def test_a_body_is_cut(admin: httpx.AsyncClient, cut: int) -> None:
    """The part arrives, and then the connection closes before the length that was said."""
    await order(admin, route=TOP_UP, cut=cut)
    received = b""
    async with admin.stream("POST", PAY, json={"amountUsd": 5}) as answer:
        with pytest.raises(httpx.RemoteProtocolError, match="connection closed"):  # noqa: PT012 - what came is kept
            async for part in answer.aiter_raw():
                received += part
    assert answer.status_code == 200
    assert len(received) < int(answer.headers["content-length"])
    assert len(received) == cut or cut == 1_000_000
    assert len(await charges(admin)) == 1


async def test_a_body_drips(admin: httpx.AsyncClient) -> None:
    """A byte at a time, until it is whole."""
    await order(admin, route="GET /coupons/me", dripMs=0)
    async with admin.stream("GET", "/coupons/me") as answer:
        parts = [part async for part in answer.aiter_raw() if part]
    assert parts == [bytes([byte]) for byte in b'{"success":true,"data":[]}']


async def test_a_reader_may_leave_a_dripping_body(admin: httpx.AsyncClient) -> None:
    """What is left of it is never sent."""
    await order(admin, route="GET /coupons/me", dripMs=A_LONG_TIME_MS)
    async with admin.stream("GET", "/coupons/me") as answer:
        assert answer.status_code == 200


@pytest.mark.parametrize("fault", [{"latencyMs": A_LONG_TIME_MS}, {"dripMs": A_LONG_TIME_MS}])
async def test_a_slow_answer_can_be_cancelled(admin: httpx.AsyncClient, fault: dict[str, int]) -> None:
    """At once; by then the work is done."""
    await order(admin, route=TOP_UP, **fault)
    with anyio.move_on_after(0.01) as scope:
        await pay(admin)
    assert scope.cancelled_caught
    assert len(await charges(admin)) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, "route must be a string that is not empty"),
        ({"route": "GET /nothing"}, "route must be one of: "),
        ({"route": "*", "delay": 1}, "delay is no option of a fault"),
        ({"route": "*", "times": 0}, "times must be a whole number from 1 to 2147483647"),
        ({"route": "*", "latencyMs": "1"}, "latencyMs must be a whole number from 0 to 2147483647"),
        ({"route": "*", "status": 99}, "status must be a whole number from 200 to 599"),
        ({"route": "*", "status": True}, "status must be a whole number from 200 to 599"),
        ({"route": "*", "headers": {"x": 1}}, "headers must be an object of header names and their values"),
        ({"route": "*", "headers": {"x y": "1"}}, "headers must be an object of header names and their values"),
        ({"route": "*", "headers": {"x": "1\r\ny: 2"}}, "headers must be an object of header names and their values"),
        ({"route": "*", "headers": ["x"]}, "headers must be an object of header names and their values"),
        ({"route": "*", "close": "now"}, "close must be one of: before, after"),
        ({"route": "*", "notJson": 1}, "notJson must be a boolean"),
        ({"route": "*", "act": True}, "act goes only with one of: status, notJson, html404"),
    ],
)
async def test_a_bad_order_is_refused(admin: httpx.AsyncClient, fault: dict[str, Any], reason: str) -> None:
    """And nothing is faulty because of it."""
    response = await order(admin, **fault)
    assert (response.status_code, response.json()["error"].startswith(reason)) == (400, True)
    assert (await pay(admin)).status_code == 200
