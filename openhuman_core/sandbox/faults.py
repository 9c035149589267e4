"""Faults to order: what an order may say, the queues of orders, and what a fault does to an answer."""

import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message

from openhuman_core.sandbox.call import FLAG, TEXT, Rule, check, one_of, whole
from openhuman_core.sandbox.envelope import Refusal, cannot, invalid, page
from openhuman_core.sandbox.routes import ROUTES
from openhuman_core.sandbox.store import Row

INSTEAD = ("status", "notJson", "html404")  # with one of these the work is not done, unless `act` is ordered too


def _are_headers(value: Any) -> bool:
    fits = re.compile("[A-Za-z0-9-]+: [ -~]*").fullmatch
    return isinstance(value, dict) and all(isinstance(v, str) and fits(f"{k}: {v}") for k, v in value.items())


RULES: dict[str, Rule] = {
    "route": one_of("*", *ROUTES),
    "times": whole(1),
    "status": whole(200, 599),
    "headers": Rule(_are_headers, "must be an object of header names and their values, which are strings"),
    "body": Rule(lambda _: True, ""),
    "close": one_of("before", "after"),
    **dict.fromkeys(("latencyMs", "cut", "dripMs"), whole(0)),
    **dict.fromkeys(("notJson", "html404", "act"), FLAG),
}
UNKNOWN = Rule(lambda _: False, "is no option of a fault")


class Faults:
    """The faults that are still to come, first in, first out for each route. A fault is the object that ordered it."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Row]] = {}

    def order(self, fault: Row) -> int:
        """Take an order; gives how many answers of its route are to be faulty now. Raises Refusal for a bad one."""
        for name, value in fault.items():
            check(name, value, RULES.get(name, UNKNOWN))
        queue = self._queues.setdefault(check("route", fault.get("route"), TEXT), [])
        if "act" in fault and not any(fault.get(name) for name in INSTEAD):
            raise invalid("act", f"goes only with one of: {', '.join(INSTEAD)}")
        queue.append({"times": 1} | fault)
        return sum(waiting["times"] for waiting in queue)

    def take(self, route: str) -> Row:
        """Hand out the next fault of a route, else the next one of any route, else one without effect."""
        queue = self._queues.get(route) or self._queues.get("*")
        if not queue:
            return {}
        queue[0]["times"] -= 1
        return queue[0] if queue[0]["times"] else queue.pop(0)


def acts(fault: Row) -> bool:
    """Tell whether the work is done."""
    instead = any(fault.get(name) for name in INSTEAD) and not fault.get("act")
    return not instead and fault.get("close") != "before"


def change(fault: Row, answer: Response, verb: str, path: str) -> Response:
    """Say what is answered in the place of `answer`."""
    status = fault.get("status")
    if fault.get("notJson"):
        answer = page("Sandbox", "<p>This is no JSON.</p>")
    elif fault.get("html404"):
        answer = cannot(verb, path)
    elif status and status >= 400:  # noqa: PLR2004 - where refusals begin
        answer = Refusal(status, "Ordered by a fault", "SANDBOX_FAULT").answer
    if "body" in fault:
        form = PlainTextResponse if isinstance(fault["body"], str) else JSONResponse
        answer = form(fault["body"], answer.status_code)
    if status in (204, 304):
        answer = Response()
    answer.status_code = status or answer.status_code
    answer.headers.update(fault.get("headers", {}))
    return answer


def disturbed(fault: Row, answer: Response) -> Message | None:
    """Make the message to the edge (`transport` or `server`), or None for an answer that simply arrives whole.

    Without a `start` the connection is closed at once; where `complete` is false, after too short a body of `parts`.
    """
    if "close" in fault:
        return {"type": "sandbox.disturbed", "start": None, "complete": False}
    if "cut" not in fault and "dripMs" not in fault:
        return None
    sent = bytes(answer.body)[: fault.get("cut")]
    if "cut" in fault:
        answer.headers["content-length"] = str(max(len(answer.body), len(sent) + 1))
    start = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
    parts = _paced([bytes([byte]) for byte in sent] if "dripMs" in fault else [sent], fault.get("dripMs", 0) / 1000)
    return {"type": "sandbox.disturbed", "start": start, "parts": parts, "complete": "cut" not in fault}


async def _paced(parts: list[bytes], pause: float) -> AsyncIterator[bytes]:
    for part in parts:
        await anyio.sleep(pause)
        yield part
