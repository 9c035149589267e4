"""The way of a request to the hosted API: recorded, authenticated, replayed or done in one transaction, answered."""

import hashlib
from collections import deque

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from openhuman_core.sandbox import teams
from openhuman_core.sandbox.call import Call, parse
from openhuman_core.sandbox.envelope import Refusal, cannot
from openhuman_core.sandbox.faults import Faults, acts, change, disturbed
from openhuman_core.sandbox.identity import authenticate, without_secrets
from openhuman_core.sandbox.routes import ROUTES, match
from openhuman_core.sandbox.store import Row, Store, new_id, now


class Gateway:
    """The ASGI application for every path that is the hosted API's."""

    def __init__(self, store: Store, base_url: str) -> None:
        self.faults = Faults()
        self.requests: deque[Row] = deque(maxlen=10_000)
        self._store = store
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as faulty as it was ordered."""
        request = Request(scope, receive)
        body = await request.body()
        path = scope["raw_path"].decode("latin-1")
        target = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        headers = without_secrets(self._store, request.headers)
        shown = {"method": request.method, "path": target, "headers": headers, "body": body.decode(errors="replace")}
        self.requests.append(shown | {"at": now()})
        route, segments = match(request.method, path)
        fault = self.faults.take(route)
        try:
            answer = self._act(request, route, segments, target, body) if acts(fault) else Response()
        except Refusal as refusal:
            answer = refusal.answer
        answer = change(fault, answer, request.method, path)
        answer.headers.setdefault("x-request-id", new_id("req_"))
        await anyio.sleep(fault.get("latencyMs", 0) / 1000)
        disturbance = disturbed(fault, answer)
        await (send(disturbance) if disturbance else answer(scope, receive, send))

    def _act(self, request: Request, route: str, segments: dict[str, str], target: str, body: bytes) -> Response:
        """Do the work and record the answer under the idempotency key, both or neither; a refusal does neither."""
        db, verb = self._store, request.method
        if not route:
            return cannot(verb, target.partition("?")[0])
        handler, roles = ROUTES[route]
        key = None if verb == "GET" else request.headers.get("idempotency-key")
        fingerprint = hashlib.sha256(f"{verb} {target}\n".encode() + body).hexdigest()
        with db.transaction():
            user = {"_id": ""} if roles is None else authenticate(db, verb, request.headers)
            recorded = key and db.get("answer", f"{user['_id']}/{key}")
            if recorded and recorded["fingerprint"] == fingerprint:
                return JSONResponse(recorded["content"])
            if recorded:
                raise Refusal(409, "Idempotency key was used for another request", "IDEMPOTENCY_CONFLICT")
            team_id = segments.get("teamId") or user.get("activeTeamId", "")
            team = {} if roles is None else teams.access(db, user, team_id, roles)
            call = Call(db, user, team, segments, request.query_params, parse(body), self._base_url, key)
            content = {"success": True, "data": handler(call)}
            if key:
                db.put("answer", f"{user['_id']}/{key}", {"fingerprint": fingerprint, "content": content})
            return JSONResponse(content)
