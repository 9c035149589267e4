"""Any sequence of requests, cancellations, junk and cuts: each request has one answer and runs at most once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from openhuman_core.protocol.framing import Framing
from tests.support.daemon import PATIENCE_SECONDS, Daemon, framed, request
from tests.support.house import until

PAGE = "openhuman.billing_get_transactions"
NUMBERS = count(1)
IDS = st.sampled_from(["number", "string", "float"])


class WireMachine(RuleBasedStateMachine):
    """One peer of a daemon that serves all the examples, as a sidecar serves for days."""

    daemon: ClassVar[Daemon]
    framing: ClassVar[Framing]

    def __init__(self) -> None:
        super().__init__()
        self.unsent = bytearray()
        self.answers: Counter[Any] = Counter()  # how many are due, by id
        self.runs: dict[str, int] = {}  # how often a call may have run: exactly once, or -1 for at most once
        self.ids: list[Any] = []
        self.in_junk = False

    def new_id(self, form: str) -> Any:
        """Give an id that no other request has."""
        number = next(NUMBERS)
        return {"number": number, "string": f"id-{number}", "float": number + 0.5}[form]

    def page(self, call_id: Any, runs: int) -> dict[str, Any]:
        """Give params by which a call is known at the hosted API, and note how often it is to come there."""
        self.runs[self.path(call_id)] = runs
        return {"limit": number_in(call_id)}

    def path(self, call_id: Any) -> str:
        """Say what a call asks the hosted API for."""
        return f"/payments/credits/transactions?limit={number_in(call_id)}&offset=0"

    def put(self, message: Any) -> None:
        """Put a message into the stream."""
        self.in_junk = False
        self.unsent += framed(json.dumps(message).encode(), self.framing)

    def call(self, form: str, what: str) -> dict[str, Any]:
        """Make a request, and note what is due for it."""
        call_id = self.new_id(form)
        self.ids.append(call_id)
        self.answers[call_id] += 1
        if what == "sent":
            return request(call_id, PAGE, self.page(call_id, 1))
        method = {"inline": "core.ping", "refused": "openhuman.billing_top_up", "unknown": "no.such"}[what]
        return request(call_id, method)

    @rule(form=IDS, what=st.sampled_from(["inline", "sent", "refused", "unknown"]))
    def ask(self, form: str, what: str) -> None:
        """Make a request."""
        self.put(self.call(form, what))

    @rule(form=IDS)
    def notify(self, form: str) -> None:
        """Make a call that nobody wants an answer to."""
        params = self.page(self.new_id(form), 1)
        self.put({"jsonrpc": "2.0", "method": PAGE, "params": params})

    @rule(members=st.lists(st.sampled_from(["inline", "sent", "refused", "bad"]), min_size=1, max_size=4))
    def batch(self, members: list[str]) -> None:
        """Make several requests in one frame."""
        self.answers[None] += members.count("bad")
        self.put([7 if what == "bad" else self.call("number", what) for what in members])

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel a call, which may be answered already."""
        call_id = data.draw(st.sampled_from(self.ids))
        if self.path(call_id) in self.runs:
            self.runs[self.path(call_id)] = -1
        self.put({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": call_id}})

    @rule()
    def cancel_first(self) -> None:
        """Cancel a call that is still to come."""
        coming = self.call("string", "sent")
        self.page(coming["id"], 0)
        self.put({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": coming["id"]}})
        self.put(coming)

    @rule()
    def repeat_an_id(self) -> None:
        """Use an id twice at once: the second is refused, or comes after the first was answered."""
        first = self.call("string", "sent")
        self.answers[first["id"]] += 1
        self.put(first)
        self.put(request(first["id"], PAGE, self.page(self.new_id("string"), -1)))

    @rule(form=IDS)
    def ask_wrongly(self, form: str) -> None:
        """Make what is no request though its id can be read."""
        call_id = self.new_id(form)
        self.answers[call_id] += 1
        self.put({"jsonrpc": "1.0", "id": call_id, "method": "core.ping"})

    @rule(junk=st.sampled_from([b"junk", b"{", b"\xff\xfe", b"]" * 100, b"\x00"]))
    def disturb(self, junk: bytes) -> None:
        """Send what is no frame; behind headers it is told once for each run of it."""
        if self.framing == "lines" or not self.in_junk:
            self.answers[None] += 1
        self.unsent += junk + b"\n"
        self.in_junk = True

    @rule(size=st.integers(1, 200))
    def flush(self, size: int) -> None:
        """Let a piece of the stream go, wherever it is cut."""
        piece, self.unsent = self.unsent[:size], self.unsent[size:]
        self.daemon.send(bytes(piece))

    def teardown(self) -> None:
        """Let the rest go; whatever came, the next request is served, and all that was due has come, once."""
        last = self.call("string", "inline")
        self.put(last)
        self.daemon.send(bytes(self.unsent))
        while self.answers.total():
            answer = read_answer(self.daemon, self.framing)
            for member in answer if isinstance(answer, list) else [answer]:
                self.answers[member["id"]] -= 1
                assert self.answers[member["id"]] >= 0, f"not due: {member}"
        until(self.each_ran_as_it_should)  # a notification may still be under way

    def each_ran_as_it_should(self) -> bool:
        """Ask the stand-in what came."""
        self.daemon.send(framed(json.dumps(request("seen", "sandbox.requests")).encode(), self.framing))
        seen = Counter(entry["path"] for entry in read_answer(self.daemon, self.framing)["result"]["requests"])
        return all(seen[path] in allowed(runs) for path, runs in self.runs.items())


def number_in(call_id: Any) -> int:
    """Give the number that an id of any form was made of."""
    return int(float(str(call_id).removeprefix("id-")))


def allowed(runs: int) -> tuple[int, ...]:
    """Give how often a call may have run."""
    return (0, 1) if runs < 0 else (runs,)


@contextmanager
def serving(framing: Framing) -> Iterator[Daemon]:
    """Run a daemon that has few slots, so that calls queue, on a sandbox that takes its time."""
    with TemporaryDirectory() as home, Daemon(Path(home), "--sandbox", "--max-in-flight", "2") as daemon:
        slow = {"route": "GET /payments/credits/transactions", "latencyMs": 2, "times": 1_000_000}
        daemon.send(framed(json.dumps(request("slow", "sandbox.fault", slow)).encode(), framing))
        assert read_answer(daemon, framing)["id"] == "slow"
        yield daemon


class EndingMachine(WireMachine):
    """A peer of a daemon of its own, whose input ends with the last byte."""

    def __init__(self) -> None:
        super().__init__()
        self.serving = serving(self.framing)
        self.daemon = self.serving.__enter__()  # type: ignore[misc]

    def teardown(self) -> None:
        """Let the rest go and end the input: all that was due comes, once, and then nothing more."""
        try:
            self.daemon.send(bytes(self.unsent))
            self.daemon.close_input()
            while self.answers.total():
                answer = read_answer(self.daemon, self.framing)
                for member in answer if isinstance(answer, list) else [answer]:
                    self.answers[member["id"]] -= 1
                    assert self.answers[member["id"]] >= 0, f"not due: {member}"
            assert self.daemon.process.stdout is not None
            assert (self.daemon.process.stdout.read(), self.daemon.process.wait(PATIENCE_SECONDS)) == (b"", 0)
        finally:
            self.serving.__exit__(None, None, None)


def read_answer(daemon: Daemon, framing: Framing) -> Any:
    """Read the next answer."""
    if framing == "lines":
        return daemon.answer()
    length = int(daemon.line().removeprefix(b"Content-Length: "))
    return json.loads(daemon.take(length + 2))


@pytest.mark.parametrize("framing", ["lines", "headers"])
def test_each_request_is_answered_once_and_runs_at_most_once(framing: Framing) -> None:
    """In any order, however the stream is cut."""
    with serving(framing) as daemon:
        machine = type("Machine", (WireMachine,), {"daemon": daemon, "framing": framing})
        budget = settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(machine, settings=budget)


@pytest.mark.parametrize("framing", ["lines", "headers"])
def test_each_request_is_answered_once_though_the_input_ends(framing: Framing) -> None:
    """Whatever was sent last."""
    machine = type("Machine", (EndingMachine,), {"framing": framing})
    budget = settings(max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=budget)
