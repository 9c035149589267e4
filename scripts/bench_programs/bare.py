"""The daemon's libraries and next to nothing else: what they cost by themselves.

Requests go to the hosted API, or are refused for their params; each leaves a line in the log. There is no limit, no
deadline, no cancellation, no redaction and no journal: what the daemon takes beyond this, it takes for those.
"""

import json
import logging
import os
from typing import Any

import aiohttp
import anyio
from pydantic import BaseModel, ConfigDict, ValidationError
from pythonjsonlogger.json import JsonFormatter

URL = f"{os.environ['BACKEND_URL']}/payments/credits/balance"
MAX_IN_FLIGHT = 64
log = logging.getLogger("bare")


class TopUp(BaseModel):
    """The params of the method that is refused."""

    model_config = ConfigDict(strict=True)

    amountUsd: float  # noqa: N815 - the wire's name


def encoded(call_id: object, outcome: str, **result: object) -> bytes:
    """Log a call and encode its answer."""
    log.info("call", extra={"method": "m", "route": "r", "outcome": outcome, "ms": 0.1, "correlationId": "0" * 16})
    return json.dumps({"jsonrpc": "2.0", "id": call_id, **result}).encode() + b"\n"


async def call(session: aiohttp.ClientSession, call_id: object) -> None:
    """Ask the hosted API."""
    async with session.get(URL, headers={"authorization": "Bearer t"}) as response:
        payload = json.loads(await response.read())["data"]
    os.write(1, encoded(call_id, "ok", result={"result": payload, "logs": ["credit balance fetched"]}))


def refusal(call_id: object, params: Any) -> bytes:
    """Refuse params."""
    try:
        TopUp.model_validate(params)
    except ValidationError as problem:
        (detail,) = problem.errors(include_url=False, include_context=False, include_input=False)
        told = {"path": "amountUsd", "rule": detail["type"], "message": detail["msg"]}
        data = {"kind": "invalid_params", "retryable": False, "params": [told], "moneyMoved": "no"}
        return encoded(call_id, "invalid_params", error={"code": -32602, "message": detail["msg"], "data": data})
    raise ValueError(params)


async def main() -> None:
    """Serve until the input ends."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    connector, rest = aiohttp.TCPConnector(limit=MAX_IN_FLIGHT), b""
    async with aiohttp.ClientSession(connector=connector) as session, anyio.create_task_group() as tasks:
        while True:
            await anyio.wait_readable(0)
            if not (data := os.read(0, 65_536)):
                return
            *lines, rest = (rest + data).split(b"\n")
            answers = []
            for line in lines:
                request = json.loads(line)
                if "params" in request:
                    answers.append(refusal(request["id"], request["params"]))
                else:
                    tasks.start_soon(call, session, request["id"])
            os.write(1, b"".join(answers))


anyio.run(main)
