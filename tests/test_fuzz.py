"""A fuzzer of the decoder, and bugs that it must find: one that finds nothing may be one that cannot."""

from __future__ import annotations

import ast
import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from openhuman_core.protocol import framing, messages

LIMIT = 200
JUNK = "junk"
MAX_BATCH = 3
SHORT = settings(
    max_examples=1200,  # which are drawn depends on the constants in whatever is imported by then
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Piece(NamedTuple):
    """Bytes of a stream, and what they must come to: a frame, an error's kind, or nothing."""

    data: bytes
    found: bytes | str | None


Stream = tuple[framing.Framing, list[Piece]]


def bodies() -> st.SearchStrategy[bytes]:
    """Make the bodies of good frames, of any length up to the limit."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    small = st.builds(lambda text: json.dumps({"id": text}, ensure_ascii=False).encode(), texts)
    exact = st.sampled_from([2, LIMIT - 1, LIMIT]).map(lambda size: b"{" + b" " * (size - 2) + b"}")
    return small | exact


def lines() -> st.SearchStrategy[Stream]:
    """Make streams of lines."""
    good = st.builds(lambda body, end: Piece(body + end, body + end[:-1]), bodies(), st.sampled_from([b"\n", b"\r\n"]))
    blank = st.sampled_from([b"\n", b"\r\n", b" \t\n"]).map(lambda data: Piece(data, None))
    long = st.integers(1, 900).map(lambda more: Piece(b"x" * (LIMIT + more) + b"\n", "invalid_request"))
    pieces = st.lists(good.filter(lambda piece: len(piece.data) <= LIMIT + 1) | blank | long, max_size=8)
    return pieces.map(lambda found: ("lines", [Piece(b"{}\n", b"{}"), *found]))


def headers() -> st.SearchStrategy[Stream]:
    """Make streams of bodies behind headers, and of what is none between them."""
    start = st.sampled_from([b"", b"X-Other: 1\r\n", b"Content-Type: a/b\n", b"\r\n", b" \r\n"])
    name = st.sampled_from([b"Content-Length: ", b"content-length:", b"CONTENT-LENGTH:  ", b"Content-Length\t:"])
    end = st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\nA: b\r\n\r\n", b"  \r\n\r\n"])
    good = st.builds(
        lambda a, b, body, c: Piece(a + b + b"%d" % len(body) + c + body, body), start, name, bodies(), end
    )
    hidden = b"Content-Length: 2\r\n\r\n[]"  # inside a body it is none
    long = st.integers(9, 40).map(
        lambda times: Piece(b"Content-Length: %d\r\n\r\n" % (times * len(hidden)) + hidden * times, "invalid_request")
    )
    bad = st.sampled_from([b"-1", b"+5", b"0x5", b"", b"5 5", b"2\r\nContent-Length: 3", b"\xc2\xb2", b"9" * 30]).map(
        lambda value: Piece(b"Content-Length: " + value + b"\r\n\r\n", "parse_error")
    )
    junk = st.sampled_from([b"junk\r\n", b"{}\n", b"\xff\xfe\n", b"x" * 9_000 + b"\n"]).map(
        lambda data: Piece(data, JUNK)
    )
    pieces = st.lists(good | long | bad | junk, max_size=8)
    return pieces.map(lambda found: ("headers", [Piece(b"Content-Length: 2\r\n\r\n{}", b"{}"), *found]))


def expected(stream: Stream) -> list[bytes | str]:
    """Say what a stream must come to; junk is told once for each run of it, and not behind a bad header."""
    found: list[bytes | str] = []
    lost = False
    for piece in stream[1]:
        if piece.found is not None and not (piece.found == JUNK and lost):
            found.append("parse_error" if piece.found == JUNK else piece.found)
        lost = piece.found in (JUNK, "parse_error")
    return found


def fuzz(decoder: Any, read: Any) -> None:
    """Feed streams in chunks; raises where what comes out is not what was put in, or anything is raised."""

    @SHORT
    @given(lines() | headers(), st.lists(st.integers(0, 10_000), max_size=9))
    def streams(stream: Stream, cuts: list[int]) -> None:
        data = b"".join(piece.data for piece in stream[1])
        places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        reader = decoder("auto", LIMIT)
        found = [item for start, end in pairwise(places) for item in reader.feed(data[start:end])] + reader.end()
        assert [item if isinstance(item, bytes) else item.error.kind for item in found] == expected(stream)

    @SHORT
    @given(
        st.lists(st.binary(max_size=60) | st.sampled_from([b"[" * 400, b'{"a":' * 140, b"NaN", b"1e999"]), max_size=6)
    )
    def noise(chunks: list[bytes]) -> None:
        reader = decoder("auto", LIMIT)
        for item in [item for chunk in chunks for item in reader.feed(chunk)] + reader.end():
            if isinstance(item, bytes):
                read(item, MAX_BATCH)

    @SHORT
    @given(st.integers(0, 400), st.sampled_from(["[", '{"a":']), st.sampled_from(["", '"id":7,']))
    def nests(levels: int, opening: str, head: str) -> None:
        closing = "]" if opening == "[" else "}"
        text = f'{{"jsonrpc":"2.0","method":"m",{head}"params":{opening * levels}1{closing * levels}}}'
        message = read(text.encode(), MAX_BATCH)
        kind = message.error.kind if hasattr(message, "error") else "call"
        assert kind == ("parse_error" if levels + 1 > messages.MAX_DEPTH else "call")
        assert message.id == (7 if head else None)

    for check in (streams, noise, nests):
        check()


def test_the_decoder_survives_the_fuzzer() -> None:
    """What comes out is what was put in, however it is cut."""
    fuzz(framing.Decoder, messages.read)


# What stands in the decoder, and what a tired hand may have put there.
BUGS = {
    "a line that spans chunks loses its start": ("bytes(self._buffer) + complete[0]", "complete[0]"),
    "the rest of a long line is served": (
        "_dropping = True\n                found",
        "_skipping = 0\n                found",
    ),
    "a long line is served": ("line if len(line) <= self.max_bytes else self._too_long()", "line"),
    "the limit is one byte short": ("line if len(line) <= self.max_bytes", "line if len(line) < self.max_bytes"),
    "a body takes a byte too many": ("del buffer[: self._need]", "del buffer[: self._need + 1]"),
    "a body waits for a byte too many": ("if len(buffer) < self._need:", "if len(buffer) <= self._need:"),
    "an oversized body is served as headers": ("self._skipping = int(value)", "self._skipping = 0"),
    "an oversized body is passed over in part": ("self._skipping -= passed", "self._skipping = 0"),
    "headers are told apart by case": (")$', re.IGNORECASE)", ")$')"),
    "a superscript is a number": ("not value.isdigit()", "not value.decode().isdigit()"),
    "the carriage return stays": ("line.removesuffix(b'\\r')", "line"),
    "junk is told line by line": ("self._dropping, self._lengths, self._in_block = True, set(), False", "pass"),
    "lengths add up over frames": ("lengths, self._lengths, self._in_block =", "lengths, _, self._in_block ="),
    "blank lines are frames": ("if line.strip(BLANK) or len(line) > self.max_bytes", "if True"),
}


def broken(module: ModuleType, right: str, wrong: str) -> ModuleType:
    """Give a module with a bug in it."""
    source = ast.unparse(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")))
    assert source.count(right) == 1
    buggy = ModuleType(module.__name__)
    exec(compile(source.replace(right, wrong), "<buggy>", "exec"), vars(buggy))  # noqa: S102 - our own source
    return buggy


@pytest.mark.parametrize(("right", "wrong"), BUGS.values(), ids=BUGS)
def test_the_fuzzer_finds_a_bug_of_the_decoder(right: str, wrong: str) -> None:
    """Within the same budget, in whatever way it shows."""
    with pytest.raises((AssertionError, ValueError, BaseExceptionGroup)):
        fuzz(broken(framing, right, wrong).Decoder, messages.read)


def test_the_fuzzer_finds_a_bug_of_the_reader() -> None:
    """A nest of a level too many is served."""
    with pytest.raises(AssertionError):
        fuzz(framing.Decoder, broken(messages, "for _ in range(levels):", "for _ in range(levels + 1):").read)
