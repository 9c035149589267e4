"""The conformance cases against the real daemon; `scripts/conformance` runs the same against any program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.cases import Case, load
from tests.conformance.profiles import PROFILES, Framing
from tests.conformance.program import Program
from tests.conformance.verdict import run_alone, run_shared
from tests.support.daemon import COMMAND, PATIENCE_SECONDS, environment

SERVE = (*COMMAND, "serve")
PROFILE = PROFILES["openhuman"]
CASES = load(PROFILE)


class Shared:
    """One daemon for each framing, which serves case after case."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.running: dict[Framing, Program] = {}
        self._home = home
        self._stack = stack

    def program(self, framing: Framing) -> Program:
        """Give the daemon of a framing, which is started when it is first needed."""
        if framing not in self.running:
            program = Program(SERVE, PROFILE, framing, environment(self._home))
            self.running[framing] = self._stack.enter_context(program)
        return self.running[framing]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Give the daemons that cases share."""
    with ExitStack() as stack:
        yield Shared(tmp_path_factory.mktemp("shared"), stack)


@pytest.mark.parametrize("case", [case for case in CASES if not case.fresh], ids=lambda case: case.title)
def test_a_daemon_serves_case_after_case(case: Case, shared: Shared) -> None:
    """What one peer sent before changes nothing."""
    assert run_shared(case, shared.program(case.framing), PATIENCE_SECONDS) == []


def test_nothing_more_is_said_once_all_is_answered(shared: Shared) -> None:
    """The daemons that served the cases end well, without another frame."""
    for framing in PROFILE.framings:
        program = shared.program(framing)
        assert program.end() == 0
        assert program.frames == []


@pytest.mark.parametrize("case", [case for case in CASES if case.fresh], ids=lambda case: case.title)
def test_a_new_daemon_serves_a_case(case: Case, home: Path) -> None:
    """These cases are about the first bytes or the last ones, or leave something behind."""
    home.mkdir()
    assert run_alone(case, SERVE, PROFILE, environment(home), PATIENCE_SECONDS) == []


def test_every_case_says_why_and_has_a_name_of_its_own() -> None:
    """A failure is found by its name, and applies to this program."""
    titles = [case.title for case in CASES]
    assert len(titles) == len(set(titles))
    assert all(case.applies and case.why.endswith(".") for case in CASES)


FAULTY = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    answer = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": {"ok": True}})
    FAULT
    print(answer, flush=True)
"""


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        pytest.param("pass", "notifications", id="notifications are answered"),
        pytest.param("print('here')", "named params", id="what others print is among the frames"),
        pytest.param("print(answer)", "named params", id="answers come twice"),
        pytest.param("answer = answer.replace('2.0', '1.0')", "named params", id="answers have another version"),
        pytest.param("answer = answer.replace('{\"ok', '{\"not ok')", "named params", id="results are wrong"),
        pytest.param('answer = answer.replace(\'"id": 3\', \'"id": "3"\')', "named params", id="ids change"),
        pytest.param("answer = '{\"x\": 1, ' + answer[1:]", "named params", id="members nobody knows"),
        pytest.param("sys.exit()", "named params", id="the program ends early"),
        pytest.param("if message['id'] == 'the next frame': continue", "named params", id="the next frame is lost"),
        pytest.param("if message['id'] == 50: sys.exit()", "50 requests", id="the last answer is lost"),
        pytest.param("if message['id'] == 50: answer = answer[:-1]", "50 requests", id="the last answer is cut off"),
    ],
)
def test_a_faulty_program_is_told_from_a_good_one(fault: str, name: str, home: Path) -> None:
    """The kit finds each of these, and nothing where there is nothing."""
    profile = PROFILES["json-rpc-lines"]
    case, good = (next(case for case in load(profile) if case.name == word) for word in (name, "named params"))
    command = (sys.executable, "-c", FAULTY.replace("FAULT", fault))
    assert run_alone(case, command, profile, environment(home), patience=1) != []
    assert run_alone(good, (sys.executable, "-c", FAULTY.replace("FAULT", "pass")), profile, environment(home), 9) == []
