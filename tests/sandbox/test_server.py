"""The sandbox on a port: real connections, real ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from openhuman_core.sandbox.server import serve
from tests.sandbox.driving import PAY

COMMAND = """
import pathlib, sys, anyio
from openhuman_core.sandbox.server import serve
state = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
anyio.run(serve, 0, state, lambda line: print(line, flush=True))
"""
PATIENCE_SECONDS = 20


class Server:
    """A running sandbox."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines = [process.stdout.readline().rstrip("\n") for _ in range(5)]
        self.url = self.lines[0]

    def ask(self, verb: str, path: str, body: Any = None) -> httpx.Response:
        """Ask as the admin."""
        return httpx.request(
            verb, self.url + path, json=body, headers={"authorization": "Bearer sandbox-admin"}, trust_env=False
        )

    def raw(self, path: str) -> bytes:
        """Ask with GET, and return every byte until the connection is closed."""
        address = urlsplit(self.url)
        with socket.create_connection((str(address.hostname), int(address.port or 0)), PATIENCE_SECONDS) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n"
            connection.sendall(f"{head}Authorization: Bearer sandbox-admin\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running(*arguments: str) -> Iterator[Server]:
    """Run a sandbox in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a sandbox on a port."""
    with running() as started:
        yield started


def test_it_announces_its_address_and_its_users(server: Server) -> None:
    """One line for each fact; links point at the address."""
    assert server.lines[0].startswith("http://127.0.0.1:")
    assert server.lines[1:] == [
        "sandbox-admin: token sandbox-admin, ADMIN in Sandbox Team",
        "sandbox-billing: token sandbox-billing, BILLING_MANAGER in Sandbox Team",
        "sandbox-member: token sandbox-member, MEMBER in Sandbox Team",
        "sandbox-outsider: token sandbox-outsider, no role in Sandbox Team",
    ]
    link = server.ask("POST", PAY, {"amountUsd": 5}).json()["data"]["url"]
    assert "5.00 USD" in httpx.get(link, trust_env=False).text
    assert "completed" in httpx.post(link, data={"outcome": "pay"}, trust_env=False).text
    assert server.ask("GET", "/payments/credits/balance").json()["data"]["teamTopupUsd"] == 5


def test_an_encoded_separator_comes_through_the_wire(server: Server) -> None:
    """The path is taken as it was sent."""
    assert server.ask("GET", "/teams/team%2Fwith%3Freserved").json()["error"] == "Team not found"


def test_the_page_for_an_unmatched_route_escapes_the_path(server: Server) -> None:
    """What a client sends is no markup."""
    assert b"<pre>Cannot GET /&lt;b&gt;</pre>" in server.raw("/<b>?c")


@pytest.mark.parametrize(("side", "acted"), [("before", 0), ("after", 1)])
def test_a_closed_connection_gets_no_answer_at_all(server: Server, side: str, acted: int) -> None:
    """Not one byte, and the server goes on."""
    server.ask("POST", "/__sandbox/faults", {"route": "GET /coupons/me", "close": side})
    assert server.raw("/coupons/me") == b""
    server.ask("POST", "/__sandbox/faults", {"route": f"POST {PAY}", "close": side})
    with pytest.raises(httpx.RemoteProtocolError):
        server.ask("POST", PAY, {"amountUsd": 5})
    assert server.ask("GET", "/__sandbox/charges").json()["count"] == acted


def test_a_cut_body_is_shorter_than_its_length(server: Server) -> None:
    """The connection closes after the part."""
    server.ask("POST", "/__sandbox/faults", {"route": "GET /coupons/me", "cut": 9})
    head, _, body = server.raw("/coupons/me").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 26" in head
    assert body == b'{"success'


def test_a_dripping_body_arrives_whole(server: Server) -> None:
    """The connection is good for another request."""
    server.ask("POST", "/__sandbox/faults", {"route": "GET /coupons/me", "dripMs": 1})
    assert server.ask("GET", "/coupons/me").json() == {"success": True, "data": []}


@pytest.mark.parametrize("status", [204, 304, 503])
def test_an_ordered_status_is_a_whole_answer(server: Server, status: int) -> None:
    """With a body or without."""
    server.ask("POST", "/__sandbox/faults", {"route": "*", "status": status, "act": True, "body": {"a": 1}})
    answer = server.ask("GET", "/coupons/me")
    assert (answer.status_code, answer.content) == (status, b'{"a":1}' if status == 503 else b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(server: Server, number: int) -> None:
    """The exit code says so."""
    assert server.ask("GET", "/teams").status_code == 200
    assert server.end(number) == 0


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    """With all data, and without a second seeding."""
    state = str(tmp_path / "state.sqlite")
    with running(state) as first:
        first.ask("POST", "/coupons/redeem", {"code": "SANDBOX5"})
        link_id = first.ask("POST", PAY, {"amountUsd": 5}).json()["data"]["gatewayTransactionId"]
        before = {path: first.ask("GET", path).json() for path in ("/teams", "/coupons/me", "/auth/me")}
        assert first.end() == 0
    with running(state) as second:
        assert {path: second.ask("GET", path).json() for path in before} == before
        assert [charge["id"] for charge in second.ask("GET", "/__sandbox/charges").json()["charges"]] == [link_id]
        assert second.ask("POST", "/coupons/redeem", {"code": "SANDBOX5"}).status_code == 400


def test_a_port_that_is_taken_is_an_error() -> None:
    """Nothing is announced."""
    announced: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        anyio.run(serve, taken.getsockname()[1], None, announced.append)
    assert announced == []


def test_every_answer_is_in_the_envelope(server: Server) -> None:
    """With a request id, on the wire too."""
    answer = server.ask("GET", "/spend-caps")
    assert json.loads(answer.content)["success"] is True
    assert answer.headers["x-request-id"].startswith("req_")
