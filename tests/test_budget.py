"""What answering may cost, in what a noisy machine cannot change: modules, system calls and lines of code."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from openhuman_core.app import App
from openhuman_core.errors import InvalidParams
from openhuman_core.protocol import messages
from openhuman_core.protocol.framing import Decoder
from openhuman_core.runtime.builtins import Vitals
from openhuman_core.runtime.calls import Calls
from openhuman_core.runtime.invoke import Record
from openhuman_core.runtime.outbox import Replies
from openhuman_core.settings import Settings
from tests.conftest import StartDaemon
from tests.support.daemon import COMMAND, PATIENCE_SECONDS, environment, request
from tests.support.imports import imported

CALLS = 1000
# Names those that the daemon's own modules declare.
DATACLASSES = """
import dataclasses, sys
import openhuman_core.app, openhuman_core.runtime.session
for name, module in list(sys.modules.items()):
    for value in vars(module).values() if name.startswith("openhuman_core") else ():
        if isinstance(value, type) and value.__module__ == name and dataclasses.is_dataclass(value):
            print(value.__name__)
"""
PING, *_ = LINES = [json.dumps(request(n, "core.ping")).encode() + b"\n" for n in range(CALLS)]


def test_a_start_imports_little_beside_asyncio(home: Path) -> None:
    """Every module is a file to find and to read; this counts those that what any such program needs does not bring."""
    ours = imported(home, "-m", "openhuman_core", "serve", "--log-level", "error", stdin=PING)
    beside = ours - imported(home, "-c", "import asyncio, json, pathlib")
    assert beside & {"datetime", "hashlib", "random", "sqlite3", "statistics", "tempfile", "uuid"} == set()
    assert len(beside) <= 66, sorted(beside)


def test_a_start_makes_one_dataclass(home: Path) -> None:
    """Each writes and compiles up to seven functions, as long as five modules take; the settings are worth it."""
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", DATACLASSES],
        capture_output=True,
        env=environment(home),
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stdout.decode().split() == ["Settings"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which counts system calls, is not installed")
def test_many_pings_at_once_take_few_system_calls(home: Path, tmp_path: Path) -> None:
    """What one read brings is answered by few writes; a call for each ping would be a thousand."""
    home.mkdir(parents=True, exist_ok=True)
    counted = tmp_path / "calls"
    calls = {}
    for pings in (PING, b"".join(LINES)):
        command = ["strace", "-f", "-qq", "-e", "trace=read,write,poll,epoll_wait,epoll_ctl", "-o", str(counted)]
        subprocess.run(
            [*command, *COMMAND, "serve", "--log-level", "error"],
            input=pings,
            capture_output=True,
            env=environment(home),
            cwd=home,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        told = counted.read_text(encoding="utf-8", errors="replace")
        calls[len(pings)] = len(re.findall(r"^\d+ +\w+\(", told, re.MULTILINE))
    few, many = sorted(calls.values())
    assert many - few <= CALLS // 10, calls


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which counts system calls, is not installed")
def test_a_peer_that_waits_for_each_answer_is_listened_to_all_the_while(home: Path, tmp_path: Path) -> None:
    """To stop listening and to start again would be two system calls for each message, and a fifth of its time."""
    home.mkdir(parents=True, exist_ok=True)
    counted = tmp_path / "calls"
    command = ["strace", "-f", "-qq", "-e", "trace=epoll_ctl", "-o", str(counted)]
    with subprocess.Popen(
        [*command, *COMMAND, "serve"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(home),
        cwd=home,
    ) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        for line in LINES[:100]:
            daemon.stdin.write(line)
            assert select.select([daemon.stdout], [], [], PATIENCE_SECONDS)[0]
            assert json.loads(daemon.stdout.readline())["result"] == {"ok": True}
        daemon.stdin.close()
        assert daemon.wait(PATIENCE_SECONDS) == 0
    assert len(counted.read_text(encoding="utf-8").splitlines()) <= len(LINES[:100]) // 4


def test_a_pipe_that_was_full_holds_more(start: StartDaemon) -> None:
    """Each time that an answer waits for its reader delays what is said after it; most never fill their pipe."""
    daemon, ours = start(), os.pipe()
    assert daemon.process.stdout is not None
    sizes = []
    try:
        for method in ("core.ping", "x" * 3_000_000):
            daemon.ask(method)
            sizes.append(fcntl.fcntl(daemon.process.stdout, fcntl.F_GETPIPE_SZ))
        fcntl.fcntl(ours[0], fcntl.F_SETPIPE_SZ, 2**20)
    except PermissionError:
        pytest.skip("this user has too many large pipes already")
    finally:
        for end in ours:
            os.close(end)
    assert sizes == [2**16, 2**20]


def lines_of(work: Callable[[], Any]) -> tuple[Any, int]:
    """Do something, and count the lines of Python that it takes."""
    lines = 0

    def count(_frame: object, event: str, _argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        done = work()
    finally:
        sys.settrace(before)
    return done, lines


def test_a_request_is_read_and_answered_in_few_lines_of_code() -> None:
    """Counted line by line: between the bytes of a ping and those of its answer there is no room for ado."""
    decoder = Decoder("lines", 2**24)
    decoder.feed(PING)

    def answer() -> bytes:
        (frame,) = decoder.feed(PING)
        call = messages.read(frame, 1000) if isinstance(frame, bytes) else frame
        assert isinstance(call, messages.Call)
        return b"".join(messages.result(call.id, {"ok": True}))

    done, lines = lines_of(answer)
    assert done == b'{"jsonrpc":"2.0","id":0,"result":{"ok":true}}'
    assert lines <= 95


def test_params_are_checked_in_few_lines_of_code(home: Path) -> None:
    """Those that pass, and those that are refused, with the words of the refusal."""
    invoker = App(Settings(home=home)).invoker

    def told_of(amount: object) -> str:
        try:
            invoker.prepare("openhuman.billing_top_up", {"amountUsd": amount}, Record())
        except InvalidParams as refusal:
            return refusal.message
        return "passed"

    told_of("what is imported first does not count")
    told = {amount: lines_of(partial(told_of, amount)) for amount in (5, "five")}
    assert {amount: words for amount, (words, _) in told.items()} == {
        5: "passed",
        "five": "invalid params: amountUsd: expected an integer or a number",
    }
    assert max(lines for _, lines in told.values()) <= 125, told


@pytest.mark.anyio
async def test_a_refusal_leaves_nothing_that_only_the_garbage_collector_finds(home: Path) -> None:
    """What refers to itself stays until the collector comes by, with all that was read for the call."""
    answers: list[messages.Parts] = []
    done = anyio.Event()

    def sink(answer: messages.Parts) -> None:
        answers.append(answer)
        if len(answers) in (1, CALLS + 1):
            done.set()

    async def room() -> None:
        pass

    vitals = Vitals()
    calls = Calls(
        App(Settings(home=home)).invoker,
        vitals,
        Replies(vitals),
        max_in_flight=1,
        tell_progress=lambda _token, _value: None,
        room=room,
        is_behind=lambda: False,
        on_change=lambda: None,
    )
    async with anyio.create_task_group() as tasks:
        calls.begin(tasks, watches=tasks)
        call = messages.Call("openhuman.billing_top_up", {"amountUsd": "five"}, None, answered=True)
        calls.accept(call, sink, 0)  # what is imported first does not count
        await done.wait()
        done = anyio.Event()
        gc.collect()
        gc.disable()
        try:
            for _ in range(CALLS):
                calls.accept(call, sink, 0)
            await done.wait()
            found = gc.collect()
        finally:
            gc.enable()
    assert b"expected an integer or a number" in b"".join(answers[-1])
    assert found < CALLS
