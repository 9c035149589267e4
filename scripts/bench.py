"""Measure the daemon beside what it is compared with, all in one run, and print ratios; nothing is judged.

scripts/bench [--rounds N] [--calls N] [--only TEXT] [--json FILE] [-- COMMAND…]

COMMAND is the daemon; every round measures each program once, so that a slow moment of the machine meets all of them.
A ratio is the median of the rounds' own ratios. Peers are measured where they are installed: mcp, pygls,
python-lsp-jsonrpc and jsonrpcserver under the Python that PEER_PYTHON names, vscode-jsonrpc under NODE_PATH.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench_program import Program, framed, line, request

CLONE = Path(__file__).parent.parent
PROGRAMS = CLONE / "scripts/bench_programs"
PEERS = CLONE / "tests/conformance/peers"
PYTHON, PEER_PYTHON = sys.executable, os.environ.get("PEER_PYTHON", sys.executable)
BALANCE, TOP_UP = "openhuman.billing_get_balance", "openhuman.billing_top_up"
BALANCE_PATH = "/payments/credits/balance"
MB, MS, US = 1e-6, 1e3, 1e6
AWAY_SECONDS = 0.015  # each way: a round trip takes 30 ms
IDLE_SECONDS = 1.0
# As a page of the stand-in has them.
TRANSACTION = {"id": "0123456789abcdef", "amountUsd": -0.25, "createdAt": "2026-01-01T00:00:00.000Z", "type": "USAGE"}
INITIALIZE: dict[str, dict[str, Any]] = {
    "mcp": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
    "lsp": {"processId": None, "rootUri": None, "capabilities": {}},
}

# What one round found, by name.
Found = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What a measurement may use: the daemon's command, its environment, where the stand-in is, and how many calls."""

    command: Sequence[str]
    env: dict[str, str]
    near: str
    far: str
    calls: int

    def daemon(self, *flags: str, url: str | None = None) -> Program:
        """Start the daemon."""
        return Program([*self.command, *flags], {**self.env, "BACKEND_URL": url or self.near})

    def bare(self) -> Program:
        """Start what its libraries are by themselves."""
        return Program([PYTHON, str(PROGRAMS / "bare.py")], {**self.env, "BACKEND_URL": self.near})


@dataclass(frozen=True)
class Peer:
    """A program that answers `method`, and what is to be said to it first."""

    name: str
    command: Sequence[str]
    method: str = "ping"
    is_framed: bool = False
    protocol: str = ""


FLOORS = (
    Peer("line loop", [PYTHON, str(PROGRAMS / "line_loop.py")], "core.ping"),
    Peer("task per request", [PYTHON, str(PROGRAMS / "task_per_request.py")], "core.ping"),
)


def installed_peers() -> Iterator[Peer]:
    """Give the peers that can be run here."""
    for module, server, is_framed, protocol in (
        ("mcp", PEERS / "mcp_stdio.py", False, "mcp"),
        ("pygls", PEERS / "pygls_stdio.py", True, "lsp"),
        ("pylsp_jsonrpc", PEERS / "pylsp_jsonrpc_stdio.py", True, ""),
        ("jsonrpcserver", PROGRAMS / "jsonrpcserver_stdio.py", False, ""),
    ):
        if not subprocess.run([PEER_PYTHON, "-c", f"import {module}"], check=False, capture_output=True).returncode:  # noqa: S603
            yield Peer(module, [PEER_PYTHON, str(server)], is_framed=is_framed, protocol=protocol)
    if node := shutil.which("node"):
        has_it = subprocess.run([node, "-e", 'require("vscode-jsonrpc/node")'], check=False, capture_output=True)  # noqa: S603
        if not has_it.returncode:
            yield Peer("vscode-jsonrpc", [node, str(PROGRAMS / "vscode_jsonrpc_stdio.cjs")], is_framed=True)


def answering(peer: Peer, bench: Bench) -> Found:
    """Measure a program that answers at once."""
    encode = framed if peer.is_framed else line
    with Program(peer.command, bench.env) as program:
        if peer.protocol:
            program.ask(encode(request(0, "initialize", INITIALIZE[peer.protocol])), 1)
            name = "notifications/initialized" if peer.protocol == "mcp" else "initialized"
            program.ask(encode({"jsonrpc": "2.0", "method": name, "params": {}}), 0)
        program.ask(encode(request(1, peer.method)), 1)
        start = time.perf_counter() - program.started
        resident = program.resident_bytes()
        time.sleep(IDLE_SECONDS)  # what is loaded ahead is no part of the rest
        median, slow = program.round_trips(encode(request(2, peer.method)), 500)
        calls = bench.calls if peer.method == "core.ping" else bench.calls // 5  # most peers are slow
        many = b"".join(encode(request(n, peer.method)) for n in range(calls))
        used, seconds = program.processor_seconds(), program.ask(many, calls)
        return {
            f"{peer.name}: start": start * MS,
            f"{peer.name}: p50": median * US,
            f"{peer.name}: p99": slow * US,
            f"{peer.name}: pipelined": calls / seconds,
            f"{peer.name}: processor": (program.processor_seconds() - used) / calls * US,
            f"{peer.name}: resident": resident * MB,
        }


def refusing(bench: Bench) -> Found:
    """Measure calls whose params are refused."""
    refused = [line(request(n, TOP_UP, {"amountUsd": "five"})) for n in range(bench.calls)]
    found: Found = {}
    for name, start in (("refusals", bench.daemon), ("bare refusals", bench.bare)):
        with start() as program:
            program.ask(b"".join(refused[:100]), 100)
            found[name] = bench.calls / program.ask(b"".join(refused), bench.calls)
    return found


def client(url: str, kind: str, calls: int, in_flight: int, env: dict[str, str]) -> float:
    """Make calls without the daemon; gives the seconds of each."""
    command = [PYTHON, str(PROGRAMS / "http_clients.py"), url + BALANCE_PATH, kind, str(calls), str(in_flight)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env})  # noqa: S603
    return float(done.stdout)


def calling(bench: Bench) -> Found:
    """Measure the whole way, 64 calls in flight and one at a time."""
    calls = max(bench.calls // 5, 1000)
    balances = [line(request(n, BALANCE)) for n in range(calls)]
    found = {
        f"aiohttp, {number} in flight": 1 / client(bench.near, "kept", calls, number, bench.env) for number in (64, 1)
    }
    for name, start in (("bare calls", bench.bare), ("calls", partial(bench.daemon, "--max-in-flight", "64"))):
        with start() as program:
            program.ask(b"".join(balances[:100]), 100)
            found[f"{name}, 64 in flight"] = calls / program.ask(b"".join(balances), calls)
            found[f"{name}, 1 in flight"] = calls / sum(program.ask(balance, 1) for balance in balances)
            found["resident after calls"] = program.resident_bytes() * MB  # the daemon's, which comes last
    return found


def first_call(bench: Bench) -> Found:
    """Measure from the start to the first answer of the hosted API, and the first one after a pause."""
    with Program([PYTHON, str(PROGRAMS / "one_call.py"), bench.near + BALANCE_PATH]) as script:
        script.ask(b"", 1, b"\n")
        found = {"first call of a script": (time.perf_counter() - script.started) * MS}
    for name, start in (("first call", bench.daemon), ("first bare call", bench.bare)):
        with start() as program:
            program.ask(line(request(1, BALANCE)), 1)
            found[name] = (time.perf_counter() - program.started) * MS
    with bench.daemon() as daemon:
        daemon.ask(line(request(1, "core.ping")), 1)
        time.sleep(IDLE_SECONDS)
        return {**found, "first call after a pause": daemon.ask(line(request(2, BALANCE)), 1) * MS}


def calling_far(bench: Bench) -> Found:
    """Measure calls over TLS to a hosted API that is a round trip of 30 ms away."""
    with bench.daemon(url=bench.far) as daemon:
        daemon.ask(line(request(1, BALANCE)), 1)
        median, _ = daemon.round_trips(line(request(2, BALANCE)), 20)
    return {"far call": median * MS, "far call, new client": client(bench.far, "fresh", 10, 1, bench.env) * MS}


def large_answers(bench: Bench) -> Found:
    """Measure a page of 5 MB, and core.ping beside it."""
    page, ping = line(request("page", "openhuman.billing_get_transactions")), line(request("ping", "core.ping"))
    beside: list[float] = []
    with bench.daemon() as daemon:
        daemon.ask(page, 1, b"\n")
        seconds = statistics.median(daemon.ask(page, 1, b"\n") for _ in range(5))
        size = daemon.received // 6
        for _ in range(20):
            end = daemon.received + size
            daemon.ask(page, 0)
            while daemon.received < end:
                beside.append(daemon.ask(ping, 1, b'"id":"ping"'))
    text = json.dumps([TRANSACTION] * (size // len(json.dumps(TRANSACTION)))).encode()
    begun = time.perf_counter()
    json.dumps(json.loads(text)).encode()
    read_and_written = time.perf_counter() - begun
    slow = statistics.quantiles(beside, n=100)[98]
    return {"page": seconds * MS, "page, json": read_and_written * MS, "ping beside a page, p99": slow * MS}


def queued(bench: Bench) -> Found:
    """Measure the processor time of a call where 10 wait, and where 10,000 do."""
    found: Found = {}
    for number, times in ((10, 500), (10_000, 1)):
        calls = b"".join(line(request(n, BALANCE)) for n in range(number))
        with bench.daemon("--max-in-flight", "4") as daemon:
            daemon.ask(b"".join(line(request(n, BALANCE)) for n in range(100)), 100)
            used = daemon.processor_seconds()
            for _ in range(times):
                daemon.ask(calls, number)
            found[f"processor, {number} queued"] = (daemon.processor_seconds() - used) / (number * times) * US
    return found


# What is divided by what; the unit is that of both.
RATIOS: dict[str, tuple[str, str, str]] = {
    "core.ping from spawn / a task per request": ("ours: start", "task per request: start", "ms"),
    "core.ping from spawn / a line loop": ("ours: start", "line loop: start", "ms"),
    "round trip p50 / a task per request": ("ours: p50", "task per request: p50", "µs"),
    "round trip p99 / a task per request": ("ours: p99", "task per request: p99", "µs"),
    "pipelined core.ping / a line loop": ("ours: pipelined", "line loop: pipelined", "a second"),
    "pipelined core.ping / a task per request": ("ours: pipelined", "task per request: pipelined", "a second"),
    "pipelined refusals / a line loop": ("refusals", "line loop: pipelined", "a second"),
    "its libraries' / a line loop": ("bare refusals", "line loop: pipelined", "a second"),
    "the whole way, 64 in flight / aiohttp": ("calls, 64 in flight", "aiohttp, 64 in flight", "a second"),
    "its libraries' way, 64 in flight / aiohttp": ("bare calls, 64 in flight", "aiohttp, 64 in flight", "a second"),
    "the whole way, one at a time / aiohttp": ("calls, 1 in flight", "aiohttp, 1 in flight", "a second"),
    "its libraries' way, one at a time / aiohttp": ("bare calls, 1 in flight", "aiohttp, 1 in flight", "a second"),
    "first call from spawn / a script": ("first call", "first call of a script", "ms"),
    "its libraries' / a script": ("first bare call", "first call of a script", "ms"),
    "a call 30 ms away over TLS / a new client": ("far call", "far call, new client", "ms"),
    "a page of 5 MB / reading and writing its JSON": ("page", "page, json", "ms"),
    "a call with 10,000 queued / with 10": ("processor, 10000 queued", "processor, 10 queued", "µs of processor"),
}
ALONE = {
    "ours: resident": "MB after core.ping",
    "resident after calls": "MB after 1,000 calls and more",
    "first call after a pause": "ms",
    "ping beside a page, p99": "ms",
}


@contextmanager
def hosted_api(*flags: str) -> Iterator[int]:
    """Run the stand-in; gives its port."""
    command = [PYTHON, str(PROGRAMS / "hosted_api.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def made(options: argparse.Namespace) -> Iterator[Bench]:
    """Make what every round uses, in a directory that is gone afterwards."""
    (CLONE / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CLONE / ".cache") as home:
        certificate, key = f"{home}/certificate.pem", f"{home}/key.pem"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "1", *names]
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)  # noqa: S603
        env = {"HOME": home, "OPENHUMAN_WORKSPACE": home, "OPENHUMAN_TOKEN": "t", "SSL_CERT_FILE": certificate}
        away = ["--delay", str(AWAY_SECONDS), "--tls", certificate, key]
        with hosted_api() as near, hosted_api(*away) as far:
            urls = f"http://127.0.0.1:{near}", f"https://localhost:{far}"
            yield Bench(options.command, env, *urls, options.calls)


def measurements(options: argparse.Namespace) -> dict[str, Callable[[Bench], Found]]:
    """Name what one round measures."""
    ours = Peer("ours", options.command, "core.ping")
    peers = [*FLOORS, ours, *installed_peers()]
    found: dict[str, Callable[[Bench], Found]] = {
        peer.name: lambda bench, peer=peer: answering(peer, bench)  # type: ignore[misc]
        for peer in peers
    }
    for measure in (refusing, calling, first_call, calling_far, large_answers, queued):
        found[measure.__name__] = measure
    return {name: measure for name, measure in found.items() if options.only in name}


def report(rounds: list[Found]) -> dict[str, dict[str, float]]:
    """Print what the rounds found, and give it as JSON has it."""
    medians = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    ratios: dict[str, float] = {}
    for title, (ours, beside, unit) in RATIOS.items():
        if ours in medians and beside in medians:
            ratios[title] = statistics.median(found[ours] / found[beside] for found in rounds)
            print(f"{title:48}{ratios[title]:8.2f}   {medians[ours]:.6g} / {medians[beside]:.6g} {unit}")
    for name, unit in ALONE.items():
        if name in medians:
            print(f"{name:48}{medians[name]:8.1f}   {unit}")
    columns = ("start", "p50", "p99", "pipelined", "processor", "resident")
    programs = dict.fromkeys(name.partition(": ")[0] for name in medians if ": " in name)
    print(f"\n{'':20}" + "".join(f"{column:>12}" for column in columns))
    for name in programs:
        print(f"{name:20}" + "".join(f"{medians[f'{name}: {column}']:12.1f}" for column in columns))
    return {"ratios": ratios, "medians": medians}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--calls", type=int, default=10_000, help="how many calls are pipelined (10,000)")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure what has this text in its name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("command", nargs="*", default=[PYTHON, "-m", "openhuman_core", "serve"], metavar="COMMAND")
    options = parser.parse_args()
    rounds: list[Found] = []
    with made(options) as bench:
        for _ in range(options.rounds):
            found: Found = {}
            for measure in measurements(options).values():
                found |= measure(bench)
            rounds.append(found)
    results = report(rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
