"""Bytes to frames, as pure functions."""

from __future__ import annotations

import json
import time
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from openhuman_core.protocol.framing import BOM, Decoder, Framing
from tests.support.daemon import framed

ONE, TWO, THREE = b'{"id":1}', b'{"id":"zw\xc3\xb6lf"}', b'[{"id":3}]'
LIMIT = 1000
LONG = b'{"pad":"' + b"x" * LIMIT + b'"}'


def plain(found: list[Any]) -> list[bytes | str]:
    """Give frames as they are, and the kind of error in place of what is no frame."""
    return [item if isinstance(item, bytes) else item.error.kind for item in found]


def decode(*chunks: bytes, framing: Framing = "auto", limit: int = LIMIT) -> list[bytes | str]:
    """Feed chunks to a new decoder, end it, and give all that it found."""
    decoder = Decoder(framing, limit)
    return plain([item for chunk in chunks for item in decoder.feed(chunk)] + decoder.end())


def headed(body: bytes, header: bytes = b"Content-Length: %d\r\n\r\n") -> bytes:
    """Put a body behind a header that says its length."""
    return header % len(body) + body


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes into chunks."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(
    ("data", "framing"),
    [
        pytest.param(ONE + b"\n", "lines", id="a line"),
        pytest.param(b"42\n", "lines", id="a line that is no object"),
        pytest.param(b"Con\n", "lines", id="a line that begins as the header does"),
        pytest.param(b"Host: x\r\nContent-Length: 8\r\n\r\n", "lines", id="a header that is not the base protocol's"),
        pytest.param(headed(ONE), "headers", id="Content-Length"),
        pytest.param(headed(ONE, b"content-length:%d\r\n\r\n"), "headers", id="lower case"),
        pytest.param(headed(ONE, b"CONTENT-LENGTH: %d\r\n\r\n"), "headers", id="upper case"),
        pytest.param(headed(ONE, b"cOnTeNt-LeNgTh: %d\r\n\r\n"), "headers", id="mixed case"),
        pytest.param(headed(ONE, b"Content-Type: x\r\nContent-Length: %d\r\n\r\n"), "headers", id="Content-Type first"),
        pytest.param(b"\r\n \n" + headed(ONE), "headers", id="blank lines before a header"),
        pytest.param(b"\r\n \n" + ONE + b"\n", "lines", id="blank lines before a line"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_the_first_bytes_decide_the_framing(data: bytes, framing: str, size: int) -> None:
    """Whether they come one by one or all at once."""
    decoder = Decoder("auto", LIMIT)
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
    assert decoder.framing == framing


@pytest.mark.parametrize(
    ("framing", "data", "found"),
    [
        pytest.param(
            "lines", headed(ONE), [b"Content-Length: 8\r", ONE], id="headers are lines where lines are forced"
        ),
        pytest.param("headers", ONE + b"\n" + headed(TWO), ["parse_error", TWO], id="lines are junk among headers"),
        pytest.param("headers", headed(ONE, b"X: y\nContent-Length: %d\n\n"), [ONE], id="any header may come first"),
    ],
)
def test_a_forced_framing_is_not_guessed(framing: Framing, data: bytes, found: list[bytes | str]) -> None:
    """The first bytes decide nothing then."""
    assert decode(data, framing=framing) == found


@pytest.mark.parametrize("framing", ["auto", "lines"])
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([BOM + ONE + b"\n" + TWO + b"\n"], id="whole"),
        pytest.param([BOM[:1], BOM[1:2], BOM[2:], ONE, b"\n", TWO, b"\n"], id="byte by byte"),
        pytest.param([BOM[:2], BOM[2:] + ONE + b"\n" + TWO + b"\n"], id="split"),
        pytest.param([BOM + b"\r\n", ONE + b"\n" + TWO + b"\n"], id="before a blank line"),
    ],
)
def test_a_byte_order_mark_before_lines_is_passed_over(framing: Framing, chunks: list[bytes]) -> None:
    """Windows shells put one before what they pipe."""
    assert decode(*chunks, framing=framing) == [ONE, TWO]


@pytest.mark.parametrize("framing", ["auto", "headers"])
@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2, 3, 4], [5], [17, 18]])
def test_a_byte_order_mark_before_headers_is_passed_over(framing: Framing, cuts: list[int]) -> None:
    """Wherever the chunks end."""
    assert decode(*split(BOM + headed(ONE) + headed(TWO), cuts), framing=framing) == [ONE, TWO]


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        pytest.param([], [], id="no input"),
        pytest.param([b""], [], id="an empty chunk"),
        pytest.param([b"\n\r\n \t\r\n"], [], id="nothing but blank lines"),
        pytest.param([BOM], [], id="nothing but a byte order mark"),
        pytest.param([BOM[:2]], [BOM[:2]], id="half a byte order mark"),
        pytest.param([b"content-len"], [b"content-len"], id="half a header's name is a line"),
        pytest.param([ONE + b"\n\n \t\n\r\n" + TWO + b"\n"], [ONE, TWO], id="blank lines between"),
        pytest.param([ONE + b"\r\n" + TWO + b"\r\n"], [ONE + b"\r", TWO + b"\r"], id="CRLF, which is white space"),
        pytest.param([ONE + b"\n" + TWO], [ONE, TWO], id="no newline at the end"),
        pytest.param([ONE[:3], ONE[3:] + b"\n" + TWO[:9], TWO[9:]], [ONE, TWO], id="frames split over chunks"),
        pytest.param([TWO[:10], TWO[10:11], TWO[11:] + b"\n"], [TWO], id="a character split over chunks"),
        pytest.param([b"junk\n" + ONE + b"\n"], [b"junk", ONE], id="junk is a frame for the reader to refuse"),
    ],
)
def test_lines(chunks: list[bytes], found: list[bytes | str]) -> None:
    """Each line that is not blank is a frame."""
    assert decode(*chunks) == found


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"Content-Length: %d\r\n\r\n", id="CRLF"),
        pytest.param(b"Content-Length: %d\n\n", id="LF only"),
        pytest.param(b"Content-Length:%d\r\n\r\n", id="no space"),
        pytest.param(b"Content-Length \t:\t  %d \t\r\n\r\n", id="much space"),
        pytest.param(b"content-length: %d\r\n\r\n", id="lower case"),
        pytest.param(b"Content-Length: 000%d\r\n\r\n", id="leading zeros"),
        pytest.param(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", id="Content-Type first"),
        pytest.param(b"Content-Length: %d\r\nContent-Type: application/json\r\n\r\n", id="Content-Type last"),
        pytest.param(b"Content-Length: %d\r\nX-Trace: a:b c\r\nX_y.z: \r\n\r\n", id="extra headers"),
        pytest.param(b"Content-Length: %d\r\nX-Content-Length: 3\r\n\r\n", id="a header that ends in the name"),
        pytest.param(b"Content-Length: %d\r\nX-Note: content-length: 3\r\n\r\n", id="the name inside a value"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_headers_as_clients_write_them(header: bytes, chunk: int) -> None:
    """Names have no case, an order does not matter, and other headers are passed over."""
    data = headed(ONE) + headed(TWO, header) + headed(THREE)
    assert decode(*(data[start : start + chunk] for start in range(0, len(data), chunk))) == [ONE, TWO, THREE]


def test_the_same_length_twice_is_one_length() -> None:
    """Two headers that agree are no conflict."""
    assert decode(headed(ONE, b"Content-Length: %d\r\nContent-Length: 8\r\n\r\n") + headed(TWO)) == [ONE, TWO]


def test_blank_lines_between_header_frames_are_passed_over() -> None:
    """Some clients end a body with a newline that they do not count."""
    assert decode(headed(ONE) + b"\r\n\n" + headed(TWO) + b"\n") == [ONE, TWO]


def test_a_length_of_zero_is_an_empty_frame() -> None:
    """The reader answers it, once."""
    assert decode(headed(b"") + headed(ONE)) == [b"", ONE]


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        pytest.param(b"Content-Length: x\r\n\r\n", ["parse_error"], id="no number"),
        pytest.param(b"Content-Length: \r\n\r\n", ["parse_error"], id="no value"),
        pytest.param(b"Content-Length: -8\r\n\r\n", ["parse_error"], id="negative"),
        pytest.param(b"Content-Length: +8\r\n\r\n", ["parse_error"], id="a sign"),
        pytest.param(b"Content-Length: 8.0\r\n\r\n", ["parse_error"], id="a fraction"),
        pytest.param("Content-Length: ٨\r\n\r\n".encode(), ["parse_error"], id="a digit of another script"),
        pytest.param(b"Content-Length: " + b"9" * 3000 + b"\r\n\r\n", ["parse_error"], id="3,000 digits"),
        pytest.param(b"Content-Length: 8\r\nContent-Length: 9\r\n\r\n", ["parse_error"], id="two that conflict"),
        pytest.param(b"Content-Type: application/json\r\n\r\n", ["parse_error"], id="absent"),
        pytest.param(b"Content-Length: x\r\n\r\n" + ONE, ["parse_error"], id="no number, and a body"),
        pytest.param(b"Content-Length: x\r\n\r\n" + ONE + b"\r\n", ["parse_error"], id="no number, and a body's line"),
        pytest.param(b"{]\r\n{]\r\n\r\n{]\r\n", ["parse_error"], id="a run of junk"),
        pytest.param(b"{]", ["parse_error"], id="junk without a line's end"),
        pytest.param(b"\xff" * 20_000, ["parse_error"], id="much junk without a line's end"),
        pytest.param(b"{]" * 9000 + b"\n", ["parse_error"], id="a very long line of junk"),
        pytest.param(b"X-Long: " + b"x" * 9000 + b"\r\n\r\n", ["parse_error"], id="a header line over its limit"),
        pytest.param(b"Content-Length: 3\r\n\r\n" + ONE, [ONE[:3], "parse_error"], id="a body longer than declared"),
    ],
)
@pytest.mark.parametrize("chunk", [1000, 30_000])
def test_after_a_broken_frame_the_next_good_one_is_found(broken: bytes, found: list[str], chunk: int) -> None:
    """A run of bytes that belong to no frame is told once."""
    data = headed(THREE) + broken + headed(ONE) + headed(TWO)
    assert decode(*(data[start : start + chunk] for start in range(0, len(data), chunk))) == [THREE, *found, ONE, TWO]


def test_each_run_of_junk_is_told() -> None:
    """Two runs with a good frame between them are two errors."""
    found = [ONE, "parse_error", TWO, "parse_error", THREE]
    assert decode(headed(ONE) + b"}\n}\n" + headed(TWO) + b"junk\n" + headed(THREE)) == found


def test_a_body_shorter_than_declared_costs_the_next_frame_and_no_more() -> None:
    """The bytes that are missing are taken from the frame behind it; the one after that is served."""
    short = b"Content-Length: 20\r\n\r\n" + ONE
    assert decode(headed(THREE), short + headed(ONE) + headed(TWO)) == [
        THREE,
        (ONE + headed(ONE))[:20],
        "parse_error",
        TWO,
    ]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Content-Length", id="inside a header's name"),
        pytest.param(b"Content-Length: 8", id="inside a header line"),
        pytest.param(b"Content-Length: 8\r\n", id="inside a header block"),
        pytest.param(b"Content-Length: 8\r\n\r\n", id="before a body"),
        pytest.param(headed(TWO)[:-1], id="inside a body"),
    ],
)
@pytest.mark.parametrize("before", [b"", headed(ONE)], ids=["first frame", "second frame"])
def test_input_that_ends_inside_a_frame_is_told_once(before: bytes, data: bytes) -> None:
    """What was whole before is served."""
    assert decode(before + data, framing="headers") == [*([ONE] if before else []), "parse_error"]


@pytest.mark.parametrize("size", [1, 64, 100_000])
@pytest.mark.parametrize(
    ("long", "good"),
    [
        pytest.param(b"[" + LONG * 20 + b"]\n", ONE + b"\n", id="lines"),
        pytest.param(headed(LONG * 20), headed(ONE), id="headers"),
    ],
)
def test_a_frame_over_the_limit_is_told_once_and_passed_over(long: bytes, good: bytes, size: int) -> None:
    """The frames around it are served."""
    data = good + long + good + long + good
    found = decode(*(data[start : start + size] for start in range(0, len(data), size)))
    assert found == [ONE, "invalid_request", ONE, "invalid_request", ONE]


@pytest.mark.parametrize("framing", ["lines", "headers"])
def test_a_frame_of_just_the_limit_is_served(framing: Framing) -> None:
    """One byte more is refused."""
    body = b'"' + b"x" * (LIMIT - 2) + b'"'
    assert decode(framed(body, framing) + framed(b" " + body, framing)) == [body, "invalid_request"]


@pytest.mark.parametrize(
    ("start", "chunk"),
    [
        pytest.param(b"{", b"x" * 65_536, id="a line"),
        pytest.param(b"Content-Length: 999999999\r\n\r\n", b"x" * 65_536, id="a body"),
        pytest.param(b"Content-Length: 2\r\n\r\n{}", b"}" * 65_536, id="junk"),
        pytest.param(b"", b" \n\t\r" * 16_384, id="blanks before the first frame"),
        pytest.param(b"{}\n", b" \n\t\r" * 16_384, id="blanks between lines"),
        pytest.param(b"Content-Length: 2\r\n\r\n{}", b" \n\t\r" * 16_384, id="blanks between header frames"),
        pytest.param(b"", b"Content-Length: 2\r\n" * 4096, id="headers without an end"),
    ],
)
def test_endless_nonsense_takes_constant_memory(start: bytes, chunk: bytes) -> None:
    """Megabytes of it leave no more behind than a frame may hold."""
    decoder = Decoder("auto", LIMIT)
    decoder.feed(start)
    decoder.feed(chunk)
    tracemalloc.start()
    for _ in range(20):
        assert len(decoder.feed(chunk)) <= 1
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Content-Length: x" + b" " * 20_000 + b"x\r\n\r\n", id="spaces in the value"),
        pytest.param(b"Content-Length" + b" " * 65_000 + b"x\r\n\r\n", id="spaces before the colon"),
        pytest.param(b"content-length" * 5_000 + b"\r\n\r\n", id="the name over and over"),
        pytest.param(b"content-length:" * 5_000 + b"\r\n\r\n", id="the header over and over"),
        pytest.param(b"x" * 65_000 + b"\r\n\r\n", id="a very long name"),
    ],
)
def test_no_header_line_takes_long_to_read(line: bytes) -> None:
    """The whole daemon would stand still meanwhile."""
    decoder = Decoder("headers", LIMIT)
    start = time.process_time()
    found = decoder.feed(line + headed(ONE))
    assert time.process_time() - start < 0.4
    assert plain(found)[-1] == ONE


@pytest.mark.parametrize("framing", ["lines", "headers"])
def test_an_answer_is_framed_in_kind(framing: Framing) -> None:
    """A line with LF, or a body behind a length in bytes."""
    expected = {"lines": TWO + b"\n", "headers": b"Content-Length: 15\r\n\r\n" + TWO}
    assert framed(TWO, framing) == expected[framing]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CUTS = st.lists(st.integers(0, 10_000), max_size=12)
FRAMINGS = st.sampled_from(["lines", "headers"])
PIECES = st.sampled_from([BOM, b"\n", b"\r\n\r\n", b"Content-Length: ", b"Content-", b"40", b"X: y", ONE, headed(ONE)])


@given(st.lists(JSON, min_size=1, max_size=6), FRAMINGS, CUTS, st.sampled_from([b"", BOM, b"\r\n"]))
def test_however_messages_are_cut_they_come_out_whole(
    messages: list[Any], framing: Framing, cuts: list[int], start: bytes
) -> None:
    """For any messages, framing and chunks."""
    bodies = [json.dumps(message, ensure_ascii=False).encode() for message in messages]
    chunks = split(start + b"".join(framed(body, framing) for body in bodies), cuts)
    assert decode(*chunks, framing=framing, limit=2**20) == bodies
    assert decode(*chunks, framing="auto", limit=2**20) == bodies


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"  " * 10, b"\r" * 20]), max_size=12), CUTS)
@example([b" " * 40, b"\n", ONE], [3 + 35])
def test_lines_do_not_depend_on_the_chunks_they_come_in(parts: list[bytes], cuts: list[int]) -> None:
    """Whatever they hold, and however long they are."""
    data = b"{}\n" + b"".join(parts)
    assert decode(*split(data, cuts), limit=30) == decode(data, limit=30)


@given(st.lists(st.binary(max_size=300) | PIECES, max_size=9), st.sampled_from(["auto", "lines", "headers"]), FRAMINGS)
def test_whatever_bytes_come_a_good_frame_is_found_after_them(
    chunks: list[bytes], framing: Framing, start: Framing
) -> None:
    """The decoder never raises; after a newline it finds its way back."""
    decoder = Decoder(framing, 100)
    found = decoder.feed(framed(ONE, start)) if framing == "auto" else []
    for chunk in chunks:
        found += decoder.feed(chunk)
    declared = b"content-length" in b"".join(chunks).lower()
    assume(decoder.framing != "headers" or not declared)  # what is behind a length is its body, good or not
    found += decoder.feed(b"\r\n\r\n" + framed(TWO, "headers" if decoder.framing == "headers" else "lines"))
    assert plain(found)[-1] == TWO
    assert decoder.end() == []
