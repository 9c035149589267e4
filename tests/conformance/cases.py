"""Read the cases: the bytes that a program is sent, and the frames that it must answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.profiles import Framing, Profile

USUAL_HEADER = "Content-Length: %d\r\n\r\n"
NEXT_ID = "the next frame"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One case for one profile and framing: what is sent, in pieces, and what is expected."""

    group: str
    name: str
    why: str
    framing: Framing
    chunks: tuple[bytes, ...]
    expect: tuple[Any, ...]
    fresh: bool
    ends: bool
    applies: bool

    @property
    def title(self) -> str:
        """Name the case among all."""
        return f"{self.group}: {self.name} [{self.framing}]"


def load(profile: Profile) -> list[Case]:
    """Give every case in every framing of the profile; those that make no sense for it are marked."""
    return [
        _case(group["group"], raw, profile, framing)
        for path in sorted(Path(__file__).parent.glob("*.json"))
        for group in [json.loads(path.read_text(encoding="utf-8"))]
        for raw in group["cases"]
        for framing in profile.framings
        if raw.get("framing", framing) == framing
    ]


def framed(body: bytes, framing: Framing, header: str = USUAL_HEADER) -> bytes:
    """Wrap a body for the wire."""
    return header.replace("%d", str(len(body))).encode() + body if framing == "headers" else body + b"\n"


def dumped(message: Any) -> bytes:
    """Write a message as clients do: UTF-8, on one line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _case(group: str, raw: dict[str, Any], profile: Profile, framing: Framing) -> Case:
    applies = profile.traits >= set(raw.get("needs", ()))
    sent = b"".join(_bytes(item, framing) for item in _filled(raw["send"], profile)) if applies else b""
    ends = raw.get("ends", False)
    if not ends:
        sent += framed(dumped({"jsonrpc": "2.0", "id": NEXT_ID, "method": profile.ping, "params": {}}), framing)
    size = raw.get("chunk", len(sent) or 1)
    return Case(
        group=group,
        name=raw["name"],
        why=raw["why"],
        framing=framing,
        chunks=tuple(sent[start : start + size] for start in range(0, len(sent), size)),
        expect=tuple(_filled(raw["expect"], profile)) if applies else (),
        fresh=raw.get("fresh", ends),
        ends=ends,
        applies=applies,
    )


def _filled(value: Any, profile: Profile, number: int | None = None) -> Any:
    """Put the profile's words, and what is repeated, in their places."""
    if isinstance(value, list):
        return [part for item in value for part in _repeated(item, profile, number)]
    if isinstance(value, dict):
        return {name: _filled(item, profile, number) for name, item in value.items()}
    if value == "$pong":
        return profile.pong
    if value == "#":
        return number
    return value.replace("$ping", profile.ping).replace("$task", profile.task) if isinstance(value, str) else value


def _repeated(item: Any, profile: Profile, number: int | None) -> Iterator[Any]:
    if not isinstance(item, dict) or "repeat" not in item:
        yield _filled(item, profile, number)
    elif isinstance(item["repeat"], str):
        yield _filled(item["repeat"], profile) * item["times"]
    else:
        for index in range(item["times"]):
            yield _filled(item["repeat"], profile, index + 1)


def _bytes(item: Any, framing: Framing) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, list):
        return b"".join(_bytes(part, framing) for part in item)
    if "base64" in item:
        return base64.b64decode(item["base64"])
    body = dumped(item["message"]) if "message" in item else _bytes(item["text"], framing)
    return framed(body, framing, item.get("header", USUAL_HEADER))
