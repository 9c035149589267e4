"""Frames to calls, and outcomes to answers, as pure functions."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openhuman_core.errors import InternalError, InvalidRequest, Rejected
from openhuman_core.protocol import messages
from openhuman_core.protocol.messages import Batch, Call, Malformed, RawJson

MAX_BATCH = 5
PARSE_ERROR, INVALID_REQUEST = -32700, -32600


def read(frame: str | bytes) -> Any:
    """Read a frame; what is malformed comes out as its id and code, so that it can be compared."""
    return plain(messages.read(frame.encode() if isinstance(frame, str) else frame, MAX_BATCH))


def plain(message: Call | Malformed | Batch) -> Any:
    """Give calls as they are, errors as a pair, and a batch as a list of these."""
    if isinstance(message, Batch):
        return [plain(member) for member in message.members]
    return message if isinstance(message, Call) else (message.id, message.error.code)


def nested(levels: int, kind: str = "[") -> str:
    """Write a nest of arrays, of objects, or of both in turn."""
    opens = {"[": ("[",), "{": ('{"a":',), "both": ("[", '{"a":')}[kind]
    start = [opens[level % len(opens)] for level in range(levels)]
    return "".join(start) + "1" + "".join("]" if part == "[" else "}" for part in reversed(start))


SUM = {"subtrahend": 23, "minuend": 42}
NO_JSON_BATCH = '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]'
MIXED_BATCH = """[
    {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
    {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
    {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
    {"foo": "boo"},
    {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
]"""
NOTIFICATIONS = """[
    {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
    {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
]"""


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
            Call("subtract", [42, 23], 1, answered=True),
            id="positional params",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
            Call("subtract", SUM, 3, answered=True),
            id="named params",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
            Call("subtract", SUM, 4, answered=True),
            id="named params in another order",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}',
            Call("update", [1, 2, 3, 4, 5], None, answered=False),
            id="a notification",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "foobar"}',
            Call("foobar", None, None, answered=False),
            id="a notification without params",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}',
            Call("foobar", None, "1", answered=True),
            id="a method that there is not",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', (None, PARSE_ERROR), id="invalid JSON"
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": 1, "params": "bar"}', (None, INVALID_REQUEST), id="an invalid request"
        ),
        pytest.param(NO_JSON_BATCH, (None, PARSE_ERROR), id="a batch that is invalid JSON"),
        pytest.param("[]", (None, INVALID_REQUEST), id="an empty array"),
        pytest.param("[1]", [(None, INVALID_REQUEST)], id="an invalid batch that is not empty"),
        pytest.param("[1,2,3]", [(None, INVALID_REQUEST)] * 3, id="an invalid batch"),
        pytest.param(
            MIXED_BATCH,
            [
                Call("sum", [1, 2, 4], "1", answered=True),
                Call("notify_hello", [7], None, answered=False),
                Call("subtract", [42, 23], "2", answered=True),
                (None, INVALID_REQUEST),
                Call("get_data", None, "9", answered=True),
            ],
            id="a batch",
        ),
        pytest.param(
            NOTIFICATIONS,
            [Call("notify_sum", [1, 2, 4], None, answered=False), Call("notify_hello", [7], None, answered=False)],
            id="a batch of notifications",
        ),
    ],
)
def test_the_examples_of_the_specification(frame: str, message: Any) -> None:
    """JSON-RPC 2.0, section 7."""
    assert read(frame) == message


@pytest.mark.parametrize(
    ("text", "call_id"),
    [
        pytest.param("7", 7, id="integer"),
        pytest.param("-7", -7, id="negative"),
        pytest.param("0", 0, id="zero"),
        pytest.param("7.25", 7.25, id="fraction"),
        pytest.param("12345678901234567890123", 12345678901234567890123, id="more than 64 bits"),
        pytest.param('"7"', "7", id="string"),
        pytest.param('""', "", id="empty string"),
        pytest.param('"zw\\u00f6lf \\ud83d\\ude00"', "zw\u00f6lf \U0001f600", id="string beyond ASCII"),
        pytest.param("null", None, id="null"),
    ],
)
def test_an_id_comes_back_as_it_was(text: str, call_id: messages.Id) -> None:
    """Strings, numbers and null; its answer can be matched to it."""
    call = messages.read(b'{"jsonrpc":"2.0","method":"m","id":%b}' % text.encode(), MAX_BATCH)
    assert call == Call("m", None, call_id, answered=True)
    answer = json.loads(b"".join(messages.result(call.id, [])))
    assert answer == {"jsonrpc": "2.0", "id": call_id, "result": []}
    assert type(answer["id"]) is type(call_id)


@pytest.mark.parametrize("text", ["true", "false", "{}", "[]", "[1]", '{"a":1}', "1e999", "-1e999"])
def test_what_is_no_id_is_refused(text: str) -> None:
    """Under the id null."""
    assert read(f'{{"jsonrpc":"2.0","method":"m","id":{text}}}') == (None, INVALID_REQUEST)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param('"method":"m"', id="jsonrpc absent"),
        pytest.param('"jsonrpc":"1.0","method":"m"', id="jsonrpc 1.0"),
        pytest.param('"jsonrpc":2.0,"method":"m"', id="jsonrpc a number"),
        pytest.param('"jsonrpc":null,"method":"m"', id="jsonrpc null"),
        pytest.param('"jsonrpc":"2.0"', id="method absent"),
        pytest.param('"jsonrpc":"2.0","method":null', id="method null"),
        pytest.param('"jsonrpc":"2.0","method":7', id="method a number"),
        pytest.param('"jsonrpc":"2.0","method":["m"]', id="method an array"),
    ],
)
def test_a_request_that_is_none_is_refused_under_its_id(members: str) -> None:
    """Its caller waits for that id."""
    assert read(f'{{{members},"id":"a"}}') == ("a", INVALID_REQUEST)


@pytest.mark.parametrize("text", ["1e2", "1.10", "-0.0", "12345678901234567890.5", "1E-7"])
def test_an_id_keeps_its_digits(text: str) -> None:
    """Its caller may compare them as text; inside params they are numbers like any other."""
    call = messages.read(b'[{"jsonrpc":"2.0","method":"m","id":%b,"params":{"id":1.10}},7]' % text.encode(), MAX_BATCH)
    assert isinstance(call, Batch)
    first = call.members[0]
    assert b"".join(messages.result(first.id, [])) == b'{"jsonrpc":"2.0","id":%b,"result":[]}' % text.encode()
    assert first == Call("m", {"id": 1.1}, float(text), answered=True)


@pytest.mark.parametrize("member", ['"result":true', '"error":{}'])
def test_an_answer_is_refused_under_no_id(member: str) -> None:
    """Under its own, two programs might go on answering each other."""
    assert read(f'{{"jsonrpc":"2.0",{member},"id":"a"}}') == (None, INVALID_REQUEST)


@pytest.mark.parametrize("frame", ["1", "null", "true", '"text"', "1e999"])
def test_json_that_is_no_object_is_no_request(frame: str) -> None:
    """Nor is it a batch."""
    assert read(frame) == (None, INVALID_REQUEST)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_no_json(constant: str) -> None:
    """Where they alone are wrong, the error finds its caller."""
    assert read(f'{{"jsonrpc":"2.0","method":"m","id":7,"params":{{"a":[{constant}]}}}}') == (7, PARSE_ERROR)
    assert read(f'{{"jsonrpc":"2.0","method":"m","id":{constant}}}') == (None, PARSE_ERROR)
    assert read(f'[{{"jsonrpc":"2.0","method":"m","id":7,"params":{constant}}}]') == (None, PARSE_ERROR)
    assert read(constant) == (None, PARSE_ERROR)


def test_a_number_that_overflows_is_read() -> None:
    """It is infinity, which the method refuses, and in its own words."""
    call = read('{"jsonrpc":"2.0","method":"m","id":7,"params":{"amountUsd":1e999}}')
    assert call == Call("m", {"amountUsd": math.inf}, 7, answered=True)


@pytest.mark.parametrize("kind", ["[", "{", "both"])
def test_a_nest_of_128_levels_is_read_and_of_129_is_refused(kind: str) -> None:
    """The frame itself is the first level."""
    request = '{"jsonrpc":"2.0","method":"m","id":7,"params":%s}'
    deepest = nested(127, kind)
    assert read(request % deepest) == Call("m", json.loads(deepest), 7, answered=True)
    assert read(request % nested(128, kind)) == (7, PARSE_ERROR)


def test_many_nests_beside_each_other_are_not_deep() -> None:
    """Depth counts, not the number of brackets."""
    assert read('{"jsonrpc":"2.0","method":"m","id":7,"params":{"a":[%s[]]}}' % ("[{}]," * 500)) == Call(
        "m", {"a": [*[[{}]] * 500, []]}, 7, answered=True
    )
    assert read('{"jsonrpc":"2.0","method":"%s","id":7}' % ("[" * 500)) == Call("[" * 500, None, 7, answered=True)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(nested(100_000), id="100,000 arrays"),
        pytest.param(nested(100_000, "{"), id="100,000 objects"),
        pytest.param(nested(100_000, "both"), id="100,000 of both"),
        pytest.param(nested(900), id="just under the interpreter's own limit"),
        pytest.param(f"[{nested(500)},NaN]", id="with NaN behind"),
        pytest.param("[" * 100_000, id="unterminated arrays"),
        pytest.param('{"a":' * 100_000, id="unterminated objects"),
        pytest.param('[{"a":' * 100_000, id="unterminated, of both"),
        pytest.param("[" * 200, id="unterminated, but not by far"),
    ],
)
def test_a_very_deep_nest_is_refused(frame: str) -> None:
    """It takes no more of the stack than any other frame."""
    assert read(frame) == (None, PARSE_ERROR)


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 100_000, "1." + "0" * 5_000 + "e" + "9" * 5_000])
def test_a_very_long_number_is_answered(number: str) -> None:
    """The interpreter's own limit on digits is no bug of ours."""
    message = messages.read(b'{"jsonrpc":"2.0","method":"m","id":7,"params":{"a":%b}}' % number.encode(), MAX_BATCH)
    assert isinstance(message, Call) or plain(message) in ((7, PARSE_ERROR), (None, PARSE_ERROR))


@pytest.mark.parametrize(
    ("frame", "call_id"),
    [
        pytest.param('{"jsonrpc":"2.0","method":"m","id":7,"params":{"a":"\\ud800"}}', 7, id="in a value"),
        pytest.param('{"jsonrpc":"2.0","method":"m","id":7,"params":{"\\udc00":1}}', 7, id="in a key"),
        pytest.param('{"jsonrpc":"2.0","method":"m","id":7,"params":{"a":"\\ude00\\ud83d"}}', 7, id="a pair reversed"),
        pytest.param('{"jsonrpc":"2.0","method":"\\uDFFF","id":7}', 7, id="in the method"),
        pytest.param('{"jsonrpc":"2.0","method":"m","id":"\\ud800"}', None, id="in the id"),
        pytest.param('{"jsonrpc":"2.0","method":"m","id":7,"\\ud800":1}', 7, id="in a member's name"),
        pytest.param('[{"jsonrpc":"2.0","method":"m","id":7,"params":["\\ud800"]}]', None, id="in a batch"),
        pytest.param('"\\ud800"', None, id="alone"),
    ],
)
def test_half_of_a_surrogate_pair_is_refused(frame: str, call_id: messages.Id) -> None:
    """It is no Unicode, and could go neither to the hosted API nor back."""
    assert read(frame) == (call_id, PARSE_ERROR)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    """That is how JSON escapes what lies beyond the first plane; an escaped backslash escapes nothing."""
    frame = '{"jsonrpc":"2.0","method":"m","id":7,"params":{"\\ud83d\\ude00":"\\\\ud800"}}'
    assert read(frame) == Call("m", {"\U0001f600": "\\ud800"}, 7, answered=True)


@pytest.mark.parametrize(
    ("frame", "call_id"),
    [
        pytest.param(b'{"jsonrpc":"2.0","method":"m\xff","id":7}', 7, id="a byte that is none"),
        pytest.param(b'{"jsonrpc":"2.0","method":"m\xc3","id":7}', 7, id="cut short"),
        pytest.param(b'{"jsonrpc":"2.0","method":"\xed\xa0\x80","id":7}', 7, id="a surrogate"),
        pytest.param(b'{"jsonrpc":"2.0","method":"m","id":"7\xff"}', None, id="in the id"),
        pytest.param('{"jsonrpc":"2.0","method":"m","id":7}'.encode("utf-16"), None, id="UTF-16"),
    ],
)
def test_a_frame_that_is_not_utf_8_is_refused(frame: bytes, call_id: int | None) -> None:
    """Under its id where that is whole."""
    assert read(frame) == (call_id, PARSE_ERROR)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        " ",
        "{",
        "}",
        "{]",
        '{"a":1,}',
        "{'a':1}",
        '{"a" 1}',
        "01",
        "0x10",
        "+1",
        ".5",
        '"\t"',
        "nul",
        "{}{}",
        "\x00",
    ],
)
def test_what_is_no_json_is_refused(frame: str) -> None:
    """Strictly, as RFC 8259 has it."""
    assert read(frame) == (None, PARSE_ERROR)


def test_of_duplicate_keys_the_last_counts() -> None:
    """As in most other readers of JSON; it is never an error of ours."""
    frame = '{"jsonrpc":"2.0","method":"a","method":"b","id":1,"id":2,"params":{"x":1,"x":2}}'
    assert read(frame) == Call("b", {"x": 2}, 2, answered=True)


def test_a_batch_over_its_limit_is_refused_whole() -> None:
    """One answer for all of it; one of just the limit is read."""
    call = '{"jsonrpc":"2.0","method":"m"}'
    assert read(f"[{','.join([call] * MAX_BATCH)}]") == [Call("m", None, None, answered=False)] * MAX_BATCH
    assert read(f"[{','.join([call] * (MAX_BATCH + 1))}]") == (None, INVALID_REQUEST)


def test_each_bad_member_of_a_batch_is_refused_for_itself() -> None:
    """Also one that is a batch."""
    frame = '[{"jsonrpc":"2.0","method":"m","id":1},[{"jsonrpc":"2.0","method":"m","id":2}],null,{"id":3},{"id":[]}]'
    assert read(frame) == [
        Call("m", None, 1, answered=True),
        (None, INVALID_REQUEST),
        (None, INVALID_REQUEST),
        (3, INVALID_REQUEST),
        (None, INVALID_REQUEST),
    ]


def test_a_request_with_the_id_null_is_no_notification() -> None:
    """Only one without an id is."""
    assert read('{"jsonrpc":"2.0","method":"m","id":null}') == Call("m", None, None, answered=True)
    assert read('{"jsonrpc":"2.0","method":"m"}') == Call("m", None, None, answered=False)


def test_answers_are_ascii_on_one_line() -> None:
    """So no text can break a frame."""
    text = "zw\u00f6lf\r\n\u2028\U0001f600\x00"
    refusal = Rejected(text, details={text: [text]})
    for answer in map(b"".join, (messages.result(text, {text: text}), messages.error(text, refusal))):
        assert answer.isascii()
        assert not {*b"\r\n\0"} & {*answer}
    assert json.loads(b"".join(messages.result(text, {text: text}))) == {
        "jsonrpc": "2.0",
        "id": text,
        "result": {text: text},
    }
    assert json.loads(b"".join(messages.error(7, refusal))) == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {"code": -32007, "message": text, "data": refusal.data()},
    }


def test_an_error_holds_its_kind_and_no_more_than_it_was_given() -> None:
    """The facts that are None are left out."""
    assert json.loads(b"".join(messages.error(None, InvalidRequest("text", route=None, effect="not_sent")))) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {
            "code": INVALID_REQUEST,
            "message": "text",
            "data": {"kind": "invalid_request", "retryable": False, "effect": "not_sent"},
        },
    }
    assert (
        json.loads(b"".join(messages.error(1, InternalError("c0ffee"))))["error"]["data"]["correlationId"] == "c0ffee"
    )


def test_json_that_came_in_as_text_goes_out_untouched() -> None:
    """Numbers keep their form, and keys that are there twice stay."""
    raw = RawJson('{"a":1.10,"a":1e2,"ö":12345678901234567890.0}'.encode())
    assert b"".join(messages.result(1, raw)) == b'{"jsonrpc":"2.0","id":1,"result":%b}' % raw
    assert b"".join(messages.result(1, raw, ("one", "two"))) == (
        b'{"jsonrpc":"2.0","id":1,"result":{"result":%b,"logs":["one","two"]}}' % raw
    )


def test_a_batch_of_answers_is_an_array() -> None:
    """In the order in which they are given."""
    assert json.loads(b"".join(messages.batch([messages.result(2, None), messages.result(1, [])]))) == [
        {"jsonrpc": "2.0", "id": 2, "result": None},
        {"jsonrpc": "2.0", "id": 1, "result": []},
    ]


TEXT = st.text(st.characters(codec="utf-8"))
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"id":' + b"9" * 5000 + b"}")
@example(b'{"id":NaN,"a":' + b"[" * 2000)
@example(b'[NaN,"\\ud800"]')
def test_reading_never_raises(frame: bytes) -> None:
    """Whatever bytes a peer sends."""
    assert isinstance(messages.read(frame, MAX_BATCH), Call | Malformed | Batch)


@given(JSON.map(lambda value: json.dumps(value, allow_nan=False).encode()))
def test_any_json_is_a_call_a_batch_or_malformed(frame: bytes) -> None:
    """What is well-formed is never a parse error."""
    message = messages.read(frame, MAX_BATCH)
    assert not isinstance(message, Malformed) or message.error.code == INVALID_REQUEST


@given(TEXT, JSON, st.none() | TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_request_comes_out_as_it_was_written(method: str, params: Any, call_id: messages.Id) -> None:
    """Method, params and id, escaped or not."""
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": call_id}
    for escaped in (True, False):
        frame = json.dumps(request, ensure_ascii=escaped).encode()
        assert messages.read(frame, MAX_BATCH) == Call(method, params, call_id, answered=True)
