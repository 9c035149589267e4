"""The real process from its first byte to its exit code."""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openhuman_core import __version__
from openhuman_core.protocol.framing import Framing
from tests.conftest import StartDaemon
from tests.support.daemon import COMMAND, PATIENCE_SECONDS, Daemon, environment, framed, request, run
from tests.support.gate import Gate
from tests.support.recorder import SILENCE, Recorder, ok

BALANCE, PLAN = "openhuman.billing_get_balance", "openhuman.billing_get_current_plan"
BALANCE_PATH, PLAN_PATH = "/payments/credits/balance", "/payments/stripe/currentPlan"
DRAINED, FORCED, STDOUT_CLOSED = 0, 20, 22
STOPPED = "the program stopped before the call ended"


@contextmanager
def spawn(
    home: Path, *flags: str, stdin: Any = subprocess.PIPE, stdout: Any = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a daemon on streams of the test's choosing."""
    home.mkdir(parents=True, exist_ok=True)
    words, env = [*COMMAND, "serve", *flags], environment(home)
    with subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=env, cwd=home) as process:
        try:
            yield process
        finally:
            process.kill()


def ping(call_id: Any) -> bytes:
    """Make a request that is answered inline."""
    return json.dumps(request(call_id, "core.ping")).encode()


def pong(call_id: Any) -> dict[str, Any]:
    """Make the answer of a ping."""
    return {"jsonrpc": "2.0", "id": call_id, "result": {"ok": True}}


def unframed(output: bytes, framing: Framing) -> list[Any]:
    """Read all answers, which must be framed as exactly as we frame them ourselves."""
    bodies = []
    while output:
        start = 0 if framing == "lines" else output.index(b"\r\n\r\n") + 4
        end = output.index(b"\n") if framing == "lines" else start + int(output[16 : start - 4])
        bodies.append(output[start:end])
        assert output.startswith(framed(bodies[-1], framing))
        output = output.removeprefix(framed(bodies[-1], framing))
    return [json.loads(body) for body in bodies]


def payload(path: str) -> dict[str, Any]:
    """Make the result of a call that the gate let through."""
    logs = {BALANCE_PATH: "credit balance fetched", PLAN_PATH: "current plan fetched from backend"}
    return {"result": path, "logs": [logs[path]]}


def stopped(**facts: Any) -> dict[str, Any]:
    """Make the error of a call that was given up."""
    hint = "Call again once the program runs again."
    return {"code": -32801, "message": STOPPED, "data": {"kind": "shutting_down", "hint": hint, **facts}}


# Input


@pytest.mark.parametrize("word", ["serve", "run"])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no newline at the end", "a newline at the end"])
def test_every_request_that_is_piped_in_is_answered(home: Path, word: str, end: bytes) -> None:
    """The end of input cuts nothing off."""
    call = json.dumps(request("b", BALANCE)).encode()
    done = run(home, word, "--sandbox", stdin=ping("a") + b"\n" + call + b"\n" + ping("c") + end)
    assert done.returncode == DRAINED
    assert [answer["id"] for answer in unframed(done.stdout, "lines") if "result" in answer] == ["a", "c", "b"]


def test_two_thousand_requests_at_once_are_all_answered(home: Path) -> None:
    """More than may wait: reading stops until there is room."""
    calls = b"".join(json.dumps(request(number, BALANCE)).encode() + b"\n" for number in range(2000))
    done = run(home, "serve", "--sandbox", "--log-level", "error", stdin=calls)
    assert (done.returncode, done.stderr) == (DRAINED, b"")
    assert sorted(answer["id"] for answer in unframed(done.stdout, "lines") if "result" in answer) == [*range(2000)]


@pytest.mark.parametrize("content", [b"", ping(1), b"\xef\xbb\xbf" + ping(1) + b"\r\n"], ids=["empty", "cut", "BOM"])
def test_a_regular_file_is_read_to_its_end(home: Path, tmp_path: Path, content: bytes) -> None:
    """And stdout may be one, too."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    with source.open("rb") as stdin, target.open("wb") as stdout, spawn(home, stdin=stdin, stdout=stdout) as process:
        assert process.wait(PATIENCE_SECONDS) == DRAINED
    assert unframed(target.read_bytes(), "lines") == ([pong(1)] if content else [])


def test_an_empty_device_is_an_empty_input(home: Path) -> None:
    """`serve </dev/null` ends at once."""
    with spawn(home, stdin=subprocess.DEVNULL) as process:
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == b""
        assert process.returncode == DRAINED


@pytest.mark.parametrize("closed", ["<&-", ">&-"], ids=["stdin", "stdout"])
def test_without_stdin_or_stdout_the_daemon_does_not_start(home: Path, closed: str) -> None:
    """There is nobody to serve; the log says so in one line."""
    home.mkdir()
    shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "serve"]
    done = subprocess.run(
        shell, input=ping(1), capture_output=True, env=environment(home), timeout=PATIENCE_SECONDS, check=False
    )
    (record,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, done.stdout, record["kind"]) == (1, b"", "configuration")


def test_one_socket_may_be_both_stdin_and_stdout(home: Path) -> None:
    """As inetd and Node.js hand it over."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_SECONDS)
    with ours, theirs, spawn(home, stdin=theirs, stdout=theirs) as process:
        theirs.close()
        ours.sendall(ping(1) + b"\n")
        assert json.loads(ours.makefile("rb").readline()) == pong(1)
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(PATIENCE_SECONDS) == DRAINED


def test_a_socket_that_is_read_late_holds_up_nothing(home: Path) -> None:
    """More than it takes at once waits, and comes whole; its other end shares no flag that we set."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_SECONDS)
    with ours, theirs, spawn(home, stdin=subprocess.PIPE, stdout=theirs) as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(ping(n) + b"\n" for n in range(10_000)))
        process.stdin.close()
        assert os.get_blocking(theirs.fileno())
        theirs.close()
        answers = [json.loads(line) for line in ours.makefile("rb")]
        assert answers == [pong(n) for n in range(10_000)]
        assert process.wait(PATIENCE_SECONDS) == DRAINED


def test_a_connection_that_breaks_is_an_end_and_no_bug(home: Path) -> None:
    """Of the input, or of stdout if that is seen first; the log holds no traceback."""
    ours, theirs = socket.socketpair()
    with ours, theirs, spawn(home, stdin=theirs, stdout=theirs) as process:
        theirs.close()
        ours.sendall(ping(1) + b"\n")
        assert select.select([ours], [], [], PATIENCE_SECONDS)[0]
        ours.close()  # with the answer unread, which resets a connection
        assert process.wait(PATIENCE_SECONDS) in (DRAINED, STDOUT_CLOSED)
        assert process.stderr is not None
        assert [json.loads(line)["message"] for line in process.stderr] == ["started", "ended"]


@pytest.mark.parametrize("end", ["end of file", "hang-up"])
def test_a_terminal_may_be_stdin(home: Path, end: str) -> None:
    """Typing end-of-file ends the input, and so does closing the terminal."""
    terminal, stdin = os.openpty()
    with spawn(home, stdin=stdin) as process:
        os.close(stdin)
        os.write(terminal, ping(1) + b"\n")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == pong(1)
        if end == "end of file":
            os.write(terminal, b"\x04")
            assert process.wait(PATIENCE_SECONDS) == DRAINED
        os.close(terminal)
        assert process.wait(PATIENCE_SECONDS) == DRAINED


@pytest.mark.parametrize("blocking", [1, 0], ids=["blocking", "non-blocking"])
def test_a_reader_that_comes_late_gets_everything(home: Path, blocking: int) -> None:
    """Megabytes of answers wait for it, in memory that is bounded: reading stops meanwhile."""
    names = [f"{number}{'x' * 30_000}" for number in range(150)]
    calls = b"".join(json.dumps(request(name[:8], name)).encode() + b"\n" for name in names)
    (their_input, our_output), (our_input, their_output) = os.pipe(), os.pipe()
    os.set_blocking(their_input, bool(blocking))
    os.set_blocking(their_output, bool(blocking))
    much_is_written = threading.Event()

    def write() -> None:
        with open(our_output, "wb") as stdin:  # noqa: PTH123 - a descriptor, not a path
            stdin.write(calls[: 2**20])
            much_is_written.set()
            stdin.write(calls[2**20 :])

    with spawn(home, "--log-level", "error", stdin=their_input, stdout=their_output) as process:
        os.close(their_input)
        os.close(their_output)
        threading.Thread(target=write, daemon=True).start()
        assert much_is_written.wait(PATIENCE_SECONDS)
        with open(our_input, "rb") as stdout:  # noqa: PTH123 - a descriptor, not a path
            answers = unframed(stdout.read(), "lines")
        assert process.wait(PATIENCE_SECONDS) == DRAINED
    expected = [f"unknown method: {name} (method not found)" for name in names]
    assert [answer["error"]["message"] for answer in answers] == expected


@pytest.mark.parametrize("framing", ["lines", "headers"])
@pytest.mark.parametrize("flag", ["auto", "forced"])
def test_answers_are_framed_in_kind(home: Path, framing: Framing, flag: str) -> None:
    """A peer that speaks in headers is answered in headers."""
    flags = ["--framing", framing] if flag == "forced" else []
    done = run(home, "serve", *flags, stdin=framed(ping("\u00f6"), framing) + framed(ping(2), framing))
    assert (done.returncode, unframed(done.stdout, framing)) == (DRAINED, [pong("\u00f6"), pong(2)])


def nest(levels: int) -> bytes:
    """Make a request with a param that is nested so deep."""
    return b'{"jsonrpc":"2.0","id":7,"method":"core.ping","params":{"a":%b%b}}' % (b"[" * levels, b"]" * levels)


MALFORMED = [
    (b"no JSON", (None, "parse_error")),
    (b"{" + b" " * 50_000 + b"}", (None, "invalid_request")),
    (nest(127), (7, "parse_error")),
    (nest(20_000), (7, "parse_error")),
    (b"[" * 40_000, (None, "parse_error")),
    (b'{"jsonrpc":"2.0","id":7,"method":"core.ping","params":{"a":NaN}}', (7, "parse_error")),
    (b'{"jsonrpc":"2.0","id":7,"method":"core.ping","params":{"a":"\\ud800"}}', (7, "parse_error")),
    (b'{"jsonrpc":"2.0","id":7,"method":"core.ping","params":{"a":"\xff"}}', (7, "parse_error")),
    (b'{"jsonrpc":"2.0","id":%b,"method":"core.ping"}' % (b"9" * 5000), (None, "parse_error")),
    (b'{"jsonrpc":"1.0","id":7,"method":"core.ping"}', (7, "invalid_request")),
    (b'{"jsonrpc":"2.0","id":{},"method":"core.ping"}', (None, "invalid_request")),
    (b'{"jsonrpc":"2.0","id":7,"method":5}', (7, "invalid_request")),
    (b"[]", (None, "invalid_request")),
    (b"[1,1,1,1]", (None, "invalid_request")),
    (b'{"jsonrpc":"2.0","id":"a","method":"no_such_method"}', ("a", "method_not_found")),
    (b'{"jsonrpc":"2.0","id":"b","method":"openhuman.billing_top_up","params":[]}', ("b", "invalid_params")),
    (b'{"jsonrpc":"2.0","id":"c","method":"openhuman.team_get_team","params":{"teamId":5}}', ("c", "invalid_params")),
]


@pytest.mark.parametrize("framing", ["lines", "headers"])
def test_each_malformed_frame_costs_one_error_and_nothing_else(home: Path, framing: Framing) -> None:
    """The good frame behind it is answered, and may be before it."""
    frames = b"".join(framed(bad, framing) + framed(ping(at), framing) for at, (bad, _) in enumerate(MALFORMED))
    flags = ["--max-message-bytes", "45000", "--max-batch", "3"]
    done = run(home, "serve", *flags, stdin=framed(ping("first"), framing) + frames)
    answers = unframed(done.stdout, framing)
    seen = [(answer["id"], answer.get("error", {}).get("data", {}).get("kind", "ok")) for answer in answers]
    assert Counter(seen) == Counter(
        [("first", "ok"), *(pair for at, (_, expected) in enumerate(MALFORMED) for pair in (expected, (at, "ok")))]
    )
    assert done.returncode == DRAINED


# Batches and ids


def test_a_batch_is_answered_as_one(daemon: Daemon, backend: Recorder) -> None:
    """Notifications in it act and leave no answer; nor does a batch that holds nothing else."""
    notification = {"jsonrpc": "2.0", "method": BALANCE}
    daemon.send([notification, {"jsonrpc": "2.0", "method": "no_such_method"}])
    daemon.send([request("a", "core.ping"), notification, request("b", BALANCE), request("c", "core.ping")])
    result = {"result": {}, "logs": ["credit balance fetched"]}
    assert sorted(daemon.answer(), key=lambda answer: str(answer["id"])) == [
        pong("a"),
        {"jsonrpc": "2.0", "id": "b", "result": result},
        pong("c"),
    ]
    backend.wait_for(3)
    assert daemon.end() == DRAINED
    assert daemon.process.stdout is not None
    assert daemon.process.stdout.read() == b""


@pytest.mark.parametrize(
    ("method", "facts"),
    [(PLAN, {}), ("openhuman.billing_top_up", {"moneyMoved": "no"}), ("core.ping", {})],
    ids=["a read", "a payment", "a built-in"],
)
def test_an_id_that_is_in_flight_is_refused(start: StartDaemon, gate: Gate, method: str, facts: dict[str, str]) -> None:
    """Two answers under one id could not be told apart; when the first is answered the id is free again."""
    daemon = start("--drain-seconds", "0.1", **gate.env)
    daemon.send(request("a", BALANCE))
    gate.wait_for_request()
    daemon.send(request("a", method, {"amountUsd": 5} if facts else {}))
    message = "a call with this id is in flight already"
    refusal = {"code": -32600, "message": message, "data": {"kind": "invalid_request", "retryable": False, **facts}}
    assert daemon.answer() == {"jsonrpc": "2.0", "id": "a", "error": refusal}
    gate.go[BALANCE_PATH].release(2)
    for _ in range(2):
        assert daemon.answer() == {"jsonrpc": "2.0", "id": "a", "result": payload(BALANCE_PATH)}
        daemon.send(request("a", BALANCE))


@pytest.mark.parametrize(
    ("method", "facts"),
    [(BALANCE, {}), ("openhuman.billing_top_up", {"moneyMoved": "no"}), ("core.ping", {}), ("rpc.discover", {})],
    ids=["a read", "a payment", "a built-in", "a description"],
)
def test_the_id_of_who_waits_for_the_description_is_in_flight(
    daemon: Daemon, backend: Recorder, method: str, facts: dict[str, str]
) -> None:
    """It takes a while to make; an id that is null is nobody's, and may wait as often as is asked."""
    refused = request("a", method, {"amountUsd": 5} if facts else {})
    nobody = request(None, "rpc.discover")
    daemon.send(
        b"".join(json.dumps(it).encode() + b"\n" for it in (request("a", "rpc.discover"), refused, nobody, nobody))
    )
    answers = [daemon.answer() for _ in range(4)]
    described = [(answer["id"], answer["result"]["openrpc"]) for answer in answers if "result" in answer]
    assert described == [("a", "1.3.2"), (None, "1.3.2"), (None, "1.3.2")]
    message = "a call with this id is in flight already"
    refusal = {"code": -32600, "message": message, "data": {"kind": "invalid_request", "retryable": False, **facts}}
    assert [answer for answer in answers if "error" in answer] == [{"jsonrpc": "2.0", "id": "a", "error": refusal}]
    assert backend.seen == []


# Concurrency


def test_calls_run_at_the_same_time_and_are_answered_as_they_are_ready(start: StartDaemon, gate: Gate) -> None:
    """The second need not wait for the first."""
    daemon = start(**gate.env)
    daemon.send(request(1, BALANCE))
    daemon.send(request(2, PLAN))
    gate.wait_for_request()
    gate.wait_for_request()
    for call_id, path in ((2, PLAN_PATH), (1, BALANCE_PATH)):
        gate.go[path].release()
        assert daemon.answer() == {"jsonrpc": "2.0", "id": call_id, "result": payload(path)}


def test_no_more_calls_run_than_may(start: StartDaemon, gate: Gate) -> None:
    """The rest waits its turn; what is answered inline does not."""
    daemon = start("--max-in-flight", "1", **gate.env)
    daemon.send(request("a", BALANCE))
    daemon.send(request("b", PLAN))
    gate.wait_for_request()
    health = daemon.result("core.health")
    assert (health["inFlight"], health["queued"]) == (1, 1)
    gate.go[BALANCE_PATH].release()
    assert daemon.answer() == {"jsonrpc": "2.0", "id": "a", "result": payload(BALANCE_PATH)}
    gate.wait_for_request()
    gate.go[PLAN_PATH].release()
    assert daemon.answer() == {"jsonrpc": "2.0", "id": "b", "result": payload(PLAN_PATH)}


# The end


def stop(daemon: Daemon, how: str) -> None:
    """Ask for a stop."""
    if how == "end of input":
        daemon.close_input()
    elif how == "core.shutdown":
        assert daemon.result("core.shutdown") == {"ok": True}
    else:
        daemon.signal(signal.Signals[how])


@pytest.mark.parametrize("how", ["end of input", "core.shutdown", "SIGTERM", "SIGINT", "SIGHUP"])
def test_a_stop_lets_calls_in_flight_finish(start: StartDaemon, gate: Gate, how: str) -> None:
    """Their answers come, and the exit code says that nothing was lost."""
    daemon = start("--max-in-flight", "1", "--drain-seconds", str(PATIENCE_SECONDS), **gate.env)
    daemon.send(request("a", BALANCE))
    daemon.send(request("b", BALANCE))
    gate.wait_for_request()
    stop(daemon, how)
    gate.go[BALANCE_PATH].release(2)
    assert [daemon.answer() for _ in range(2)] == [
        {"jsonrpc": "2.0", "id": call_id, "result": payload(BALANCE_PATH)} for call_id in ("a", "b")
    ]
    assert daemon.process.wait(PATIENCE_SECONDS) == DRAINED


MONEY, WRITE = ("openhuman.billing_top_up", {"amountUsd": 5}), ("openhuman.team_update_team", {"teamId": "t"})


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "core.shutdown"])
def test_calls_that_do_not_end_are_given_up_at_the_deadline(start: StartDaemon, backend: Recorder, how: str) -> None:
    """Each is answered with what may have become of it."""
    backend.default = SILENCE
    flags = ["--drain-seconds", "0.2", "--max-in-flight", "3"]
    daemon = start(*flags, BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    for call_id, (method, params) in {"read": (BALANCE, {}), "write": WRITE, "money": MONEY}.items():
        daemon.send(request(call_id, method, params))
    backend.wait_for(3)
    for call_id, (method, params) in {"later read": (BALANCE, {}), "later write": WRITE, "later money": MONEY}.items():
        daemon.send(request(call_id, method, params))
    assert daemon.result("core.health")["queued"] == 3
    stop(daemon, how)
    answers = [daemon.answer() for _ in range(6)]
    assert {answer["id"]: answer["error"] for answer in answers} == {
        "read": stopped(retryable=True),
        "write": stopped(retryable=False, effect="unknown"),
        "money": stopped(
            retryable=False,
            effect="unknown",
            moneyMoved="unknown",
            hint="Look at openhuman.billing_get_transactions before making the call again.",
        ),
        "later read": stopped(retryable=True),
        "later write": stopped(retryable=True, effect="not_sent"),
        "later money": stopped(retryable=True, effect="not_sent", moneyMoved="no"),
    }
    assert daemon.process.wait(PATIENCE_SECONDS) == FORCED
    assert len(backend.seen) == 3


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGINT"), ("SIGINT", "SIGTERM")])
def test_a_second_signal_ends_at_once(start: StartDaemon, gate: Gate, first: str, second: str) -> None:
    """Whatever the deadline is."""
    daemon = start("--drain-seconds", "600", **gate.env)
    daemon.send(request("a", BALANCE))
    gate.wait_for_request()
    daemon.signal(signal.Signals[first])
    daemon.signal(signal.Signals[second])
    assert daemon.answer() == {"jsonrpc": "2.0", "id": "a", "error": stopped(retryable=True)}
    assert daemon.process.wait(PATIENCE_SECONDS) == FORCED


@pytest.mark.parametrize("ends", [True, False], ids=["slow", "stuck"])
def test_calls_whose_methods_are_still_loaded_at_the_deadline_are_given_up(home: Path, *, ends: bool) -> None:
    """Nothing of them was sent, which those that write say once they are loaded; no end waits long for that."""
    slow = home / "slow"
    slow.mkdir(parents=True)
    (slow / "sitecustomize.py").write_text(
        f"""if True:
        import sys, threading
        given_up = threading.Event()
        class Slow:
            def find_spec(self, name, path, target=None):
                if name == "openhuman_core.registry.params":
                    from openhuman_core.runtime.calls import Calls
                    real = Calls.give_up
                    Calls.give_up = lambda calls: (real(calls), {ends} and given_up.set())
                    given_up.wait()
        sys.meta_path.insert(0, Slow())
        """
    )
    with Daemon(home, "--drain-seconds", "0.1", env={"PYTHONPATH": str(slow)}) as daemon:
        for call_id, (method, params) in {"read": (BALANCE, {}), "write": WRITE, "money": MONEY}.items():
            daemon.send(request(call_id, method, params))
        assert daemon.result("core.ping") == {"ok": True}
        daemon.signal(signal.SIGTERM)
        answers = [daemon.answer() for _ in range(3)]
        assert {answer["id"]: answer["error"] for answer in answers} == {
            "read": stopped(retryable=True),
            "write": stopped(retryable=True, **({"effect": "not_sent"} if ends else {})),
            "money": stopped(retryable=True, **({"effect": "not_sent", "moneyMoved": "no"} if ends else {})),
        }
        assert daemon.process.wait(PATIENCE_SECONDS / 4) == FORCED


def test_what_comes_after_a_shutdown_is_refused(start: StartDaemon) -> None:
    """It was not sent, which a method that pays says in so many words."""
    daemon = start("--sandbox")
    calls = {"read": (BALANCE, {}), "write": WRITE, "money": MONEY}
    daemon.send(
        b"".join(
            json.dumps(message).encode() + b"\n"
            for message in (
                request("stop", "core.shutdown"),
                request("health", "core.health"),
                *(request(call_id, method, params) for call_id, (method, params) in calls.items()),
            )
        )
    )
    answers = {answer["id"]: answer for answer in (daemon.answer() for _ in range(5))}
    assert answers["stop"]["result"] == {"ok": True}
    assert answers["health"]["result"]["status"] == "draining"
    facts = {call_id: answers[call_id]["error"]["data"] for call_id in calls}
    kept = ("kind", "retryable", "effect", "moneyMoved")
    assert {call_id: {name: data[name] for name in kept if name in data} for call_id, data in facts.items()} == {
        "read": {"kind": "shutting_down", "retryable": True},
        "write": {"kind": "shutting_down", "retryable": True, "effect": "not_sent"},
        "money": {"kind": "shutting_down", "retryable": True, "effect": "not_sent", "moneyMoved": "no"},
    }
    assert daemon.process.wait(PATIENCE_SECONDS) == DRAINED


@pytest.mark.parametrize("state", ["answering", "idle", "waiting", "waiting at the end of input"])
def test_a_stdout_that_is_closed_ends_the_program(start: StartDaemon, gate: Gate, state: str) -> None:
    """Nobody can be answered any more, whether or not something is to be said just now."""
    daemon = start("--drain-seconds", "0.2", **gate.env)
    assert daemon.result("core.ping") == {"ok": True}
    if state.startswith("waiting"):
        daemon.send(request("a", BALANCE))
        gate.wait_for_request()
    if state.endswith("end of input"):
        daemon.close_input()
    assert daemon.process.stdout is not None
    daemon.process.stdout.close()
    if state == "answering":
        daemon.send(ping("a") + b"\n")
    assert daemon.process.wait(PATIENCE_SECONDS / 4) == STDOUT_CLOSED


def test_answers_that_nobody_reads_do_not_hold_up_a_stop(home: Path) -> None:
    """They are lost at the deadline, and the exit code says so."""
    with spawn(home, "--drain-seconds", "0.2") as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(request(1, "x" * 3_000_000)).encode() + b"\n" + ping(2) + b"\n")
        process.stdin.flush()
        assert process.stdout is not None
        assert process.stdout.read(1) == b"{"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == FORCED


def test_at_the_deadline_no_page_is_begun(start: StartDaemon, backend: Recorder) -> None:
    """One that was is written on; a short answer each for the others is more likely to be read in time."""
    backend.default = ok("x" * 5 * 2**20)
    daemon = start("--drain-seconds", "0.2", BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.send(b"".join(json.dumps(request(n, BALANCE)).encode() + b"\n" for n in range(3)))
    backend.wait_for(3)
    daemon.signal(signal.SIGTERM)
    daemon.log_records("call", 3)
    page, *others = (daemon.answer() for _ in range(3))
    assert page["result"] == {"result": "x" * 5 * 2**20, "logs": ["credit balance fetched"]}
    assert [other["error"] for other in others] == [stopped(retryable=True)] * 2
    assert daemon.process.wait(PATIENCE_SECONDS) == FORCED


# The wire


def test_nothing_but_answers_comes_out_of_stdout(home: Path, tmp_path: Path) -> None:
    """Whatever a library prints, or a child of ours, goes to stderr; and what it reads is empty."""
    (tmp_path / "sitecustomize.py").write_text(
        """if True:
        import os, subprocess, anyio
        real = anyio.run
        def noisy(*args):
            print("noise by print", flush=True)
            os.write(1, b"noise by descriptor\\n")
            subprocess.run(["echo", "noise by child"])
            assert os.read(0, 10) == b""
            return real(*args)
        anyio.run = noisy
        """
    )
    done = run(home, "serve", stdin=ping(1), PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (
        DRAINED,
        framed(json.dumps(pong(1), separators=(",", ":")).encode(), "lines"),
    )
    for noise in (b"noise by print", b"noise by descriptor", b"noise by child"):
        assert noise in done.stderr


# What core.* answers


@pytest.mark.parametrize("params", [..., None, {}, {"a": 1}, [], [1], "x", 5, True], ids=repr)
def test_ping_and_version_take_any_params(bare: Daemon, params: Any) -> None:
    """They ignore them."""
    assert bare.result("core.ping", params) == {"ok": True}
    assert bare.result("core.version", params) == {"version": __version__}


def test_health_and_shutdown_take_none(bare: Daemon) -> None:
    """They say so as any method does, and a refused shutdown shuts nothing down."""
    for method in ("core.health", "core.shutdown"):
        assert bare.error(method, {"a": 1})["message"] == f"unknown param 'a' for {method}"
        message = "invalid params: expected object or null, got array"
        assert bare.error(method, [])["message"] == message
    assert bare.result("core.health", {"timeoutMs": 5})["status"] == "ok"


def test_health_tells_how_the_program_is(start: StartDaemon) -> None:
    """Counts are of what was answered before, notifications left out."""
    daemon = start("--backend-url", "HTTPS://Example.com:8443/path?query")
    daemon.send(b"no JSON\n" + b'{"jsonrpc":"2.0","method":"no_such_method"}\n')
    daemon.answer()
    daemon.result("core.ping")
    daemon.error("no_such_method")
    daemon.error("no_such_method")
    daemon.error(BALANCE)
    health = daemon.result("core.health")
    uptime, resident, python = (health.pop(name) for name in ("uptimeSeconds", "residentBytes", "python"))
    assert 0 < uptime < PATIENCE_SECONDS
    assert 2**20 < resident < 2**30
    assert python == platform.python_version()
    assert health == {
        "status": "ok",
        "inFlight": 0,
        "queued": 0,
        "answered": 5,
        "errors": {"parse_error": 1, "method_not_found": 2, "unauthenticated": 1},
        "version": __version__,
        "profile": "default",
        "baseUrl": "https://example.com:8443",
        "policy": {},
    }


@pytest.mark.parametrize("words", [["serve"], ["sandbox", "--port", "0"]], ids=" ".join)
def test_no_crash_leaves_a_core_dump(home: Path, words: list[str]) -> None:
    """The memory of the program holds credentials; neither it nor a child may have it written to a file."""
    with subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home, OPENHUMAN_READY="1"),
    ) as process:
        first = process.stderr if words == ["serve"] else process.stdout
        assert first is not None
        assert first.readline()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.kill()
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]
