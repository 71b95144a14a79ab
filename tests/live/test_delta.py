"""A delta makes exactly the new text of its base, in any script."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.safestring import SafeString, mark_safe
from hypothesis import given
from hypothesis import strategies as st

from tests.live.vectors import CASES
from via_state.live.protocol.delta import Delta, apply, difference, plain

# Few different characters, of one, two and four bytes in UTF-16, so that texts have much in common.
texts = st.text("ab\n\u2028é😀😁") | st.text().map(plain)


@given(texts, texts)
def test_a_delta_makes_the_new_text_of_its_base(base: str, text: str) -> None:
    assert apply(base, difference(base, text)) == text


@given(texts, texts, texts, texts)
def test_a_delta_holds_no_more_than_what_changed(before: str, old: str, new: str, after: str) -> None:
    delta = difference(before + old + after, before + new + after)

    assert len(delta.middle) <= len(new)


@given(st.text(st.characters()))
def test_a_plain_text_can_be_carried(text: str) -> None:
    for one in (plain(text), plain(mark_safe(text))):
        assert type(one) is str
        assert one.encode().decode() == one
        assert len(one.encode("utf-16-le")) == len(text.encode("utf-16-le", "surrogatepass"))


def test_a_plain_text_is_the_text() -> None:
    assert plain(SafeString("<b>😀</b>")) == "<b>😀</b>"
    assert plain("a\ud800b\udc00") == "a\ufffdb\ufffd"


@pytest.mark.parametrize("delta", [Delta(3, 1, ""), Delta(4, 0, ""), Delta(-1, 0, ""), Delta(0, -1, "")])
def test_a_delta_of_another_base_is_refused(delta: Delta) -> None:
    with pytest.raises(ValueError, match="another base"):
        apply("abc", delta)


@pytest.mark.parametrize("case", CASES["delta"], ids=lambda case: case["name"])
def test_the_table_of_deltas_holds(case: dict[str, Any]) -> None:
    assert apply(case["base"], Delta(*case["delta"])) == case["is"]
    assert difference(case["base"], case["is"]) == Delta(*case["delta"])
