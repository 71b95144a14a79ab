"""Lines to a tab carry what was meant, and lines from one are taken only if they are exactly of the protocol."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from via_state.live.protocol import frames
from via_state.live.protocol.delta import Delta, plain
from via_state.live.protocol.frames import Asked, Garbage, Message, decode
from via_state.live.protocol.vector import Place
from via_state.metrics.live import FRAMES

MOST = 131_072
AT = {"room.7": Place("9f2c41", 1841, "a3b2c1")}
GOOD: list[dict[str, Any]] = [
    {"hello": "ticket", "nodes": [["token", {"room.7": ["9f2c41", 1841, "a3b2c1"]}], ["token", {}, "etag"]], "deflate": True, "away": 12.5},
    {"hello": "ticket"},
    {"add": [["token", {}]]},
    {"drop": ["abcdefghijkl"]},
    {"ack": 16},
    {"ping": 1},
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


def test_a_message_is_what_was_said() -> None:
    hello, ping = decode(f"{json.dumps(GOOD[0])}\n{json.dumps(GOOD[-1])}", MOST)

    assert hello == Message(
        hello="ticket", nodes=[Asked("token", AT), Asked("token", {}, "etag")], deflate=True, away=12.5
    )
    assert ping == Message(ping=1)


@pytest.mark.parametrize("good", GOOD, ids=lambda good: next(iter(good)))
def test_a_line_with_an_unknown_field_is_refused(good: dict[str, Any]) -> None:
    assert decode(json.dumps(good), MOST)
    with pytest.raises(Garbage):
        decode(json.dumps({**good, "method": "x"}), MOST)


@pytest.mark.parametrize(
    "text",
    [
        b'{"ping":1}', None, "", "\n", "{}", "[]", "null", "1", '"ping"', "{", '{"ping":1}x', '{"ping":2}', '{"ping":true}', '{"ping":1,"ack":1}',
        '{"ack":-1}', '{"ack":1.5}', '{"ack":1e400}', '{"ack":99999999999999999999}', '{"ack":9007199254740992}', '{"ack":NaN}', '{"deflate":true}',
        '{"nodes":[["token",{}]]}', '{"ping":1,"away":1}', '{"hello":"x","away":-1}', '{"hello":null}', '{"drop":["abcdefghijklm"]}', '{"add":["token"]}',
        '{"add":[["token"]]}', '{"add":[["token",{},"etag","more"]]}', '{"add":[["token",{"k":["e",1]}]]}', '{"add":[["token",{"k":["e",-1,"r"]}]]}',
        '{"add":[["token",{"k":["e",1,"r",2]}]]}', '{"add":[[{"token":1},{}]]}', '{"hello":"\\ud800"}', '{"hello":"\ud800"}', '{"hello":"\x00"}',
        '{"__proto__":{"ack":1}}', '{"add":[["token",{"%s":["e",1,"r"]}]]}' % ("k" * 513), '{"hello":"%s"}' % ("x" * 4097), '{"ping":1}\n' * 17,
    ],
)  # fmt: skip
def test_garbage_is_refused(text: object) -> None:
    with pytest.raises(Garbage):
        decode(text, MOST)


@pytest.mark.parametrize("opening", ["[", '{"add":', '{"add":[', '{"add":[["t",{"k":[', '{"x":'])
def test_depth_costs_nothing(opening: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Garbage):
            decode(opening * (MOST // len(opening)), MOST)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_message_may_have_exactly_so_many_bytes() -> None:
    text = json.dumps({"drop": ["é"]}, ensure_ascii=False)
    size = len(text.encode())

    assert decode(text, size)
    with pytest.raises(Garbage):
        decode(text, size - 1)
    with pytest.raises(Garbage):
        decode("x" * 10**7, MOST)


@given(values | st.sampled_from(GOOD).flatmap(lambda good: st.fixed_dictionaries(dict.fromkeys(good, values))))
def test_whatever_json_comes_it_is_decoded_or_refused(value: object) -> None:
    try:
        messages = decode(json.dumps(value), MOST)
    except Garbage:
        return
    assert all(isinstance(message, Message) for message in messages)


@given(st.text() | st.binary())
def test_whatever_comes_it_is_decoded_or_refused(text: str | bytes) -> None:
    with pytest.raises(Garbage):
        decode(text, MOST)


@given(st.text().map(plain))
def test_a_frame_carries_any_text(text: str) -> None:
    line = frames.frames_line([frames.whole_frame("id", AT, text, "tag"), frames.text_frame("id", {}, text)])

    assert "\n" not in line
    at = {"room.7": ["9f2c41", 1841, "a3b2c1"]}
    assert json.loads(line) == {"f": [["id", at, "h", text, "tag"], ["id", {}, "t", text]]}


def test_each_frame_is_as_the_client_reads_it() -> None:
    made = [
        frames.text_frame("id", {}, None),
        frames.delta_frame("id", {}, "base", Delta(3, 4, "new"), "tag"),
        frames.same_frame("id", {}),
        frames.rewritten_frame("id"),
        frames.token_frame("id", "token"),
        frames.stale_frame("id"),
        frames.gone_frame("id", "denied"),
    ]

    assert {one.kind for one in made} | {"whole"} == set(FRAMES)
    assert json.loads(frames.frames_line(made))["f"] == [
        ["id", {}, "t", None],
        ["id", {}, "d", "base", 3, 4, "new", "tag"],
        ["id", {}, "="],
        ["id", {}, "r"],
        ["id", {}, "k", "token"],
        ["id", {}, "s"],
        ["id", {}, "x", "denied"],
    ]


def test_each_other_line_is_as_the_client_reads_it() -> None:
    lines = [
        frames.welcome_line("pod", 1000),
        frames.welcome_line("pod", 1000, "next"),
        frames.refusal_line("a token of some length", "token"),
        frames.bye_line("drain", 5000),
        frames.PONG,
    ]

    assert [json.loads(line) for line in frames.message_of(lines).split("\n")] == [
        {"hi": {"pod": "pod", "spread": 1000}},
        {"hi": {"pod": "pod", "spread": 1000, "page": "next"}},
        {"no": [" some length", "token"]},
        {"bye": {"why": "drain", "in": 5000}},
        {"pong": 1},
    ]
