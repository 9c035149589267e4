"""Puts the sandbox together, with what a test asks of it and the page where a payment link is paid or declined."""

from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openhuman_core.sandbox.call import TEXT, check, parse
from openhuman_core.sandbox.envelope import Refusal, page
from openhuman_core.sandbox.gateway import Gateway
from openhuman_core.sandbox.payments import settle, status_of
from openhuman_core.sandbox.seed import seed
from openhuman_core.sandbox.store import Store

BUTTON = '<form method="post"><button name="outcome" value="{}">{}</button></form>'


def create_app(state: Path | None = None, base_url: str = "http://sandbox.localhost") -> Starlette:
    """Make a sandbox that keeps its data in the SQLite file `state`, or in memory, and links to pages at `base_url`.

    Raises `Configuration` where `state` cannot be opened or is none of its own.
    """
    store = Store(state)
    seed(store)
    gateway = Gateway(store, base_url)
    refusals = {Refusal: lambda _request, refusal: refusal.answer}
    app = Starlette(routes=_own_routes(store, gateway), exception_handlers=refusals)
    app.router.default = gateway
    return app


def _own_routes(db: Store, gateway: Gateway) -> list[Route]:
    """Make the routes that are none of the hosted API's; none of them needs a credential."""

    async def faults(request: Request) -> Response:
        return JSONResponse({"queued": gateway.faults.order(parse(await request.body()))})

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            gateway.requests.clear()
        return JSONResponse({"count": len(gateway.requests), "requests": list(gateway.requests)})

    async def charges(_request: Request) -> Response:
        names = ("id", "kind", "amountUsd", "user", "idempotencyKey")
        found = [{name: link[name] for name in names} | {"status": status_of(link)} for link in db.all("charge")]
        return JSONResponse({"count": len(found), "charges": found})

    async def settlement(request: Request) -> Response:
        order = parse(await request.body())
        with db.transaction():
            link, changed = settle(db, check("id", order.get("id"), TEXT), order.get("outcome", ""))
        return JSONResponse({"id": link["id"], "status": status_of(link), "changed": changed})

    async def pay(request: Request) -> Response:
        note = ""
        try:
            link = db.find("charge", request.path_params["id"])
            if request.method == "POST":
                form = parse_qs((await request.body()).decode(errors="replace"))
                with db.transaction():
                    link, changed = settle(db, link["id"], form.get("outcome", [""])[0])
                note = "" if changed else " It was settled before: nothing has changed."
        except Refusal as refusal:
            return page("Payment", f"<p>{escape(str(refusal))}</p>", refusal.answer.status_code)
        stands = BUTTON.format("pay", "Pay") + BUTTON.format("decline", "Decline")
        if status_of(link) != "NEW":
            stands = f"<p>This payment is {status_of(link).lower()}.{note}</p>"
        what = escape(f"{link['plan'] or 'Credits'} for {link['user']}: {link['amountUsd']:.2f} USD")
        return page("Payment", f"<h1>{what}</h1>\n{stands}")

    return [
        Route("/__sandbox/faults", faults, methods=["POST"]),
        Route("/__sandbox/requests", requests, methods=["GET", "DELETE"]),
        Route("/__sandbox/charges", charges, methods=["GET"]),
        Route("/__sandbox/settle", settlement, methods=["POST"]),
        Route("/pay/{id}", pay, methods=["GET", "POST"]),
    ]
