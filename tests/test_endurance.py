"""What a host may do to a sidecar that lives for days: not read, not let go, ask too early, ask twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import COMMAND, PATIENCE_SECONDS, Daemon, environment, request
from tests.support.gate import Gate
from tests.support.recorder import SILENCE, Recorder, ok
from tests.test_flow import cancel, resident_bytes

BALANCE, TOP_UP = "openhuman.billing_get_balance", "openhuman.billing_top_up"
MIB = 2**20


def test_a_log_that_nobody_reads_holds_up_nothing(home: Path) -> None:
    """Neither the answers nor the end."""
    home.mkdir()
    pipe = subprocess.PIPE
    words, env = [*COMMAND, "serve", "--sandbox"], environment(home)
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=home) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = "".join(json.dumps(request(n, BALANCE)) + "\n" for n in range(2_000))
        process.stdin.write(lines.encode())
        process.stdin.flush()
        assert sorted(json.loads(process.stdout.readline())["id"] for _ in range(2_000)) == list(range(2_000))
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


@pytest.mark.parametrize("method", ["rpc.discover", BALANCE])
def test_large_answers_that_nobody_reads_are_not_made(start: StartDaemon, backend: Recorder, method: str) -> None:
    """What is made is bounded, as what is read is."""
    backend.default = ok("x" * 256 * 1024)
    daemon = start("--max-in-flight", "10", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.result("rpc.discover")
    daemon.result(BALANCE)
    before = resident_bytes(daemon)
    daemon.send(b"".join(json.dumps(request(n, method)).encode() + b"\n" for n in range(500)))
    with backend.changed:  # a second is time enough to make them all
        assert not backend.changed.wait_for(lambda: len(backend.seen) > 100, 1)
    assert resident_bytes(daemon) - before < 20 * MIB
    assert sorted(daemon.answer()["id"] for _ in range(500)) == list(range(500))


def test_calls_with_a_time_of_their_own_leave_nothing_behind(start: StartDaemon, backend: Recorder) -> None:
    """They had to wait for their turn; once they had it, nobody waits for their time to be over."""
    daemon = start("--max-in-flight", "4", "--log-level", "error", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    held = []
    for _ in range(4):
        lines = "".join(json.dumps(request(n, BALANCE, {"timeoutMs": 600_000})) + "\n" for n in range(1_000))
        daemon.send(lines.encode())
        assert sorted(daemon.answer()["id"] for _ in range(1_000)) == list(range(1_000))
        held.append(resident_bytes(daemon))
    assert held[-1] - held[0] < 8 * MIB


@pytest.mark.parametrize("first", ["the call", "its cancellation"])
def test_long_ids_are_not_kept(start: StartDaemon, first: str) -> None:
    """A cancellation that comes late harms no later call, and one of such an id that comes early stops none."""
    daemon = start()
    daemon.result("core.ping")
    before = resident_bytes(daemon)
    for n in range(100):
        call_id = f"{n}{'x' * MIB}"
        if first == "the call":
            daemon.send(request(call_id, "core.ping"))
            assert daemon.answer()["id"] == call_id
        daemon.send(cancel(call_id))
    daemon.send(request(call_id, "core.ping"))
    assert daemon.answer() == {"jsonrpc": "2.0", "id": call_id, "result": {"ok": True}}
    assert resident_bytes(daemon) - before < 60 * MIB


def peak_bytes(daemon: Daemon) -> int:
    """Read how much memory the daemon held at most."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_few_large_answers_are_held_at_a_time(daemon: Daemon, backend: Recorder) -> None:
    """However many calls are in flight: the others wait with most of theirs unread, and are answered in their turn."""
    daemon.result(BALANCE)
    backend.default = ok("x" * 5 * MIB)
    before = peak_bytes(daemon)
    daemon.send(b"".join(json.dumps(request(n, BALANCE)).encode() + b"\n" for n in range(30)))
    backend.wait_for(31)
    assert sorted(daemon.answer()["id"] for _ in range(30)) == list(range(30))
    assert peak_bytes(daemon) - before < 100 * MIB


def test_what_may_have_acted_does_not_wait_to_be_read(daemon: Daemon, backend: Recorder) -> None:
    """Or it would run out of time, and nobody would know what became of it."""
    backend.default = ok("x" * MIB)
    daemon.send(b"".join(json.dumps(request(n, TOP_UP, {"amountUsd": 1})).encode() + b"\n" for n in range(10)))
    assert [record["outcome"] for record in daemon.log_records("call", 10)] == ["ok"] * 10
    assert sorted(daemon.answer()["id"] for _ in range(10)) == list(range(10))


def test_a_journal_that_another_process_holds_does_not_hold_up_the_end(start: StartDaemon, backend: Recorder) -> None:
    """The call is answered with what is known of it, and its key is unknown to who comes next."""
    daemon = start("--drain-seconds", "0.5", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.result(TOP_UP, {"amountUsd": 1, "idempotencyKey": "warm"})
    backend.default = SILENCE
    daemon.send(request("a", TOP_UP, {"amountUsd": 1, "idempotencyKey": "k"}))
    backend.wait_for(2)
    lock = sqlite3.connect(daemon.home / "core" / "journal.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    daemon.signal(signal.SIGTERM)
    told = daemon.answer()["error"]["data"]
    assert (told["kind"], told["moneyMoved"], daemon.process.wait(4)) == ("shutting_down", "unknown", 20)
    lock.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_early_is_heard_late(home: Path, number: signal.Signals) -> None:
    """The request that is there already is answered."""
    home.mkdir()
    words, env = [*COMMAND, "serve"], environment(home)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=home) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        status = Path(f"/proc/{process.pid}/status")
        process.stdin.write(json.dumps(request(1, "core.ping")).encode() + b"\n")
        process.stdin.flush()
        blocked, deadline = 0, time.monotonic() + PATIENCE_SECONDS
        while not blocked and time.monotonic() < deadline:
            fields = dict(line.split(":\t", 1) for line in status.read_text(encoding="ascii").splitlines())
            blocked = int(fields["SigBlk"], 16) & 1 << (number - 1)
        process.send_signal(number)
        assert (process.stdout.readline(), process.wait(PATIENCE_SECONDS)) == (
            b'{"jsonrpc":"2.0","id":1,"result":{"ok":true}}\n',
            0,
        )


def test_a_signal_that_is_ignored_stays_ignored(home: Path) -> None:
    """As under nohup."""
    home.mkdir()
    program = (
        "import signal, os, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words: list[str] = [COMMAND[0], "-c", program, *COMMAND, "serve"]
    env = environment(home)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=home) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(json.dumps(request(1, "core.ping")).encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline()
            process.send_signal(signal.SIGHUP)
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_one_signal_after_a_shutdown_is_no_second_one(start: StartDaemon, gate: Gate) -> None:
    """The call in flight still has its time."""
    daemon = start("--drain-seconds", "600", **gate.env)
    daemon.send(request("a", BALANCE))
    gate.wait_for_request()
    daemon.result("core.shutdown")
    daemon.signal(signal.SIGTERM)
    gate.go["/payments/credits/balance"].release()
    assert ("result" in daemon.answer(), daemon.process.wait(PATIENCE_SECONDS)) == (True, 0)


def test_a_socket_whose_reader_is_gone_is_an_end(home: Path) -> None:
    """Nothing has to be written to it to notice."""
    home.mkdir()
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [*COMMAND, "serve"], stdin=subprocess.PIPE, stdout=theirs.fileno(), env=environment(home), cwd=home
    ) as process:
        theirs.close()
        assert process.stdin is not None
        process.stdin.write(json.dumps(request(1, "core.ping")).encode() + b"\n")
        process.stdin.flush()
        assert ours.recv(4096)
        ours.close()
        assert process.wait(PATIENCE_SECONDS) == 22


def test_a_closed_stderr_takes_nobodys_place(home: Path) -> None:
    """What is written there reaches no peer."""
    home.mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND, "serve"],
        input=json.dumps(request(1, "core.ping")).encode(),
        stdout=subprocess.PIPE,
        env=environment(home),
        cwd=home,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b'{"jsonrpc":"2.0","id":1,"result":{"ok":true}}\n')


def test_a_stdin_that_cannot_be_read_is_an_empty_one(home: Path) -> None:
    """It is no bug of ours."""
    home.mkdir()
    with Path(os.devnull).open("wb") as unreadable:
        done = subprocess.run(
            [*COMMAND, "serve"],
            stdin=unreadable,
            capture_output=True,
            env=environment(home),
            cwd=home,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert (done.returncode, done.stdout, b"bug" in done.stderr) == (0, b"", False)


def test_a_name_that_takes_long_to_look_up_does_not_hold_up_the_end(home: Path) -> None:
    """The system's resolver cannot be stopped, so nobody waits for it."""
    slow = home / "slow"
    slow.mkdir(parents=True)
    (slow / "sitecustomize.py").write_text(
        "import socket, threading\nfound = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda *words, **named: (threading.Event().wait(15), found(*words, **named))[1]\n",
        encoding="utf-8",
    )
    env = {"BACKEND_URL": "https://slow.invalid", "OPENHUMAN_TOKEN": "t", "PYTHONPATH": str(slow)}
    with Daemon(home, "--drain-seconds", "0.5", env=env) as daemon:
        daemon.send(request("a", BALANCE))
        daemon.result("core.ping")
        daemon.signal(signal.SIGTERM)
        assert daemon.answer()["error"]["data"]["kind"] == "shutting_down"
        assert daemon.process.wait(5) == 20


def test_an_id_is_in_flight_while_the_description_is_made(bare: Daemon) -> None:
    """As for any other call."""
    with Daemon(bare.home / "other") as daemon:
        daemon.send(
            json.dumps(request(1, "rpc.discover")).encode()
            + b"\n"
            + json.dumps(request(1, "rpc.discover")).encode()
            + b"\n"
        )
        told = [daemon.answer() for _ in range(2)]
        assert sorted(["error" in answer for answer in told]) == [False, True]
