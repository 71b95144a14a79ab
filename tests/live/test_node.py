"""A node has the same id in every tab and process, and another one than any other node."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from via_state.live.protocol.node import NodeSpec, Scalar

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
arguments: st.SearchStrategy[dict[str, Scalar]] = st.dictionaries(
    words, words | st.integers() | st.booleans(), max_size=3
)
specs = st.builds(
    NodeSpec.of,
    st.sampled_from(["text", "block"]),
    words,
    arguments,
    st.sampled_from(["all", "session", "user", "visitor"]),
    filter=words,
    prefix=words,
    suffix=words,
)


def typed(spec: NodeSpec) -> object:
    """The spec so that True and 1 differ."""
    return [spec, [type(value) for _, value in spec.arguments]]


@given(specs, specs)
def test_different_nodes_have_different_ids(one: NodeSpec, other: NodeSpec) -> None:
    assert (one.id == other.id) == (typed(one) == typed(other))


@given(specs)
def test_an_id_is_twelve_characters_that_an_attribute_can_hold(spec: NodeSpec) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{12}", spec.id)


def test_an_id_is_the_same_in_every_release_and_whatever_the_order_of_arguments() -> None:
    spec = NodeSpec.of("block", "chat/_room.html", {"room": 7, "b": "x"}, "visitor")

    assert spec == NodeSpec.of("block", "chat/_room.html", {"b": "x", "room": 7}, "visitor")
    assert spec.id == "Swc2E1oU2CLL"


def test_true_and_one_are_different_arguments() -> None:
    assert NodeSpec.of("text", "a", {"x": True}).id != NodeSpec.of("text", "a", {"x": 1}).id


def test_a_text_that_is_no_unicode_has_no_id() -> None:
    with pytest.raises(UnicodeEncodeError):
        _ = NodeSpec.of("text", "a", {"x": "\ud800"}).id
