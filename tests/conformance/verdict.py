"""Run cases, and compare what came out with what must."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.conformance.cases import NEXT_ID, Case
from tests.conformance.profiles import Profile
from tests.conformance.program import Program

SHOWN_CHARACTERS = 300


def run_alone(
    case: Case, command: Sequence[str], profile: Profile, env: Mapping[str, str], patience: float
) -> list[str]:
    """Run a case in a process of its own, to its end; gives what is wrong, in words."""
    with Program(command, profile, case.framing, env) as program:
        _send(case, program, patience)
        exit_code = program.end()
        wrong = _judge(case, program)
        if case.ends and "contract" in profile.traits and exit_code != 0:
            wrong.append(f"expected exit code 0, got {exit_code}")
        return wrong


def run_shared(case: Case, program: Program, patience: float) -> list[str]:
    """Run a case in a process that serves others before and after it; gives what is wrong, in words."""
    _send(case, program, patience)
    wrong = _judge(case, program)
    program.frames.clear()
    return wrong


def _send(case: Case, program: Program, patience: float) -> None:
    required = sum(1 for frame in case.expect if _is_required(frame, program.profile)) + (not case.ends)

    def is_enough() -> bool:
        said = [frame for frame in program.frames if not _is_its_own(frame, program.profile)]
        return len(said) >= required and (case.ends or any(_is_next(frame) for frame in said))

    if case.ends:
        program.converse(case.chunks, lambda: True, patience)
        program.close_input()
        program.converse((), is_enough, patience)
    else:
        program.converse(case.chunks, is_enough, patience)


def _judge(case: Case, program: Program) -> list[str]:
    profile = program.profile
    left = [frame for frame in program.frames if not _is_its_own(frame, profile)]
    expected = [*case.expect] if case.ends else [*case.expect, {"id": NEXT_ID, "result": profile.pong}]
    missing = []
    for frame in expected:
        found = next((at for at, said in enumerate(left) if _matches(said, frame, profile)), None)
        if found is not None:
            del left[found]
        elif _is_required(frame, profile):
            missing.append(frame)
    return [f"missing: {_shown(missing)}"] * bool(missing) + [f"unexpected: {_shown(left)}"] * bool(left)


def _is_required(frame: Any, profile: Profile) -> bool:
    return not isinstance(frame, dict) or frame.get("if") in (None, *profile.traits)


def _is_its_own(frame: Any, profile: Profile) -> bool:
    return profile.talks and isinstance(frame, dict) and "method" in frame


def _is_next(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.get("id") == NEXT_ID


def _matches(said: Any, expected: Any, profile: Profile) -> bool:
    """Tell whether a frame is the one that is expected, down to its members."""
    if isinstance(expected, list):
        return isinstance(said, list) and len(said) == len(expected) and _match_all(said, expected, profile)
    if not isinstance(said, dict) or said.get("jsonrpc") != "2.0" or "id" not in said:
        return False
    if not _is_same_id(said["id"], expected["id"], profile):
        return False
    if "result" in expected:
        return said.keys() == {"jsonrpc", "id", "result"} and expected["result"] in ("$any", said["result"])
    return said.keys() == {"jsonrpc", "id", "error"} and _is_same_error(said["error"], expected, profile)


def _match_all(said: list[Any], expected: list[Any], profile: Profile) -> bool:
    left = [*said]
    for member in expected:
        found = next((at for at, answer in enumerate(left) if _matches(answer, member, profile)), None)
        if found is None:
            return False
        del left[found]
    return True


def _is_same_id(said: Any, expected: Any, profile: Profile) -> bool:
    if isinstance(expected, dict):
        return (said is None and "recovered ids" not in profile.traits) or said == expected["recovered"]
    if isinstance(said, bool) or isinstance(said, str) is not isinstance(expected, str):
        return False
    if isinstance(expected, float):
        return said is not None and float(said) == expected
    return bool(said == expected)


def _is_same_error(said: Any, expected: dict[str, Any], profile: Profile) -> bool:
    if not isinstance(said, dict) or said.get("code") != expected["error"] or not isinstance(said.get("message"), str):
        return False
    if "contract" not in profile.traits:
        return True
    fixed = expected.get("message", said["message"])  # most messages are for people, and not compared
    return bool(said["message"] == fixed and said["data"]["kind"] == expected["kind"])


def _shown(frames: list[Any]) -> str:
    text = ", ".join(json.dumps(frame, default=_number) for frame in frames)
    return text if len(text) <= SHOWN_CHARACTERS else f"{len(frames)} frames: {text[:SHOWN_CHARACTERS]}…"


def _number(value: Decimal) -> float:
    return float(value)
