"""Wire keys: how fields name them, and how the parameters of a family become text."""

from __future__ import annotations

import string
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.declarations.events import AddItem
from via_state import State, StateApp, StateAppEvents
from via_state.declarations.keys import KeyTemplate, Parameter, escape
from via_state.exceptions import DeclarationError, InvalidKey

#: A busy machine is no fault of a key.
unhurried = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

parameters: st.SearchStrategy[Parameter] = st.one_of(st.text(max_size=12), st.integers(), st.uuids())


def text_of(value: Parameter) -> str:
    return value if isinstance(value, str) else str(value)


def test_a_key_is_the_lower_cased_field_name_unless_it_is_written() -> None:
    class Feed(State):
        latestItems = StateAppEvents(AddItem)
        banner = StateApp(str, key="Site.Banner")

    assert Feed.latestItems.key == "latestitems"
    assert Feed.banner.key == "Site.Banner"


def test_a_family_shows_its_template_until_a_member_is_chosen() -> None:
    class Feed(State):
        room = StateAppEvents(AddItem, key="room.{room}")

    assert Feed.room.key == "room.{room}"
    assert Feed.room.at(room=7).key == "room.7"
    assert Feed.room.at(room=7).at(room=8).key == "room.8"
    assert Feed.room.key == "room.{room}"


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain-Text_7", "plain-Text_7"),
        ("a.b", "a~2Eb"),
        ("a b", "a~20b"),
        ("~", "~7E"),
        ("", "~"),
        ("é", "~C3~A9"),
        ("\0", "~00"),
        (-7, "-7"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Level.HIGH, "3"),
    ],
)
def test_a_parameter_is_escaped(value: Parameter, text: str) -> None:
    assert escape(value) == text


@unhurried
@given(parameters, parameters)
def test_different_texts_stay_different(one: Parameter, other: Parameter) -> None:
    assert (escape(one) == escape(other)) == (text_of(one) == text_of(other))


@unhurried
@given(st.tuples(parameters, parameters), st.tuples(parameters, parameters))
def test_members_of_a_family_share_a_key_only_if_all_parameters_agree(
    one: tuple[Parameter, Parameter], other: tuple[Parameter, Parameter]
) -> None:
    template = KeyTemplate("chat-{site}.on.{room}x")
    keys = [template.fill({"site": site, "room": room}) for site, room in (one, other)]
    assert (keys[0] == keys[1]) == ([text_of(part) for part in one] == [text_of(part) for part in other])


@unhurried
@given(parameters, parameters)
def test_parsing_a_key_gives_the_text_of_its_parameters(site: Parameter, room: Parameter) -> None:
    template = KeyTemplate("chat-{site}.on.{room}x")
    key = template.fill({"site": site, "room": room})
    assert template.parse(key) == {"site": text_of(site), "room": text_of(room)}


def test_a_key_of_something_else_has_no_parameters_here() -> None:
    class Feed(State):
        room = StateAppEvents(AddItem, key="room.{room}")
        items = StateAppEvents(AddItem)

    assert Feed.room.parse(Feed.room.at(room="a.b c").key) == {"room": "a.b c"}
    assert Feed.room.parse("room.~") == {"room": ""}
    assert Feed.items.parse("items") == {}
    with pytest.raises(InvalidKey, match="'room' is not a key of 'items'"):
        Feed.items.parse("room")


@pytest.mark.parametrize(
    "key",
    ["room", "rooms.7", "room.", "room.7.8", "room.a b", "room.{room}", "room.~41", "room.~FF", "room.~2e", "room.a~", "room.~C3", "room.é", "7", ""],
)  # fmt: skip
def test_what_no_parameter_makes_is_not_a_key_of_the_family(key: str) -> None:
    template = KeyTemplate("room.{room}")
    assert not template.reads(key)
    with pytest.raises(InvalidKey, match=r"is not a key of 'room\.\{room\}'\. Pass a whole wire key"):
        template.parse(key)


@unhurried
@given(parameters)
def test_a_parameter_holds_nothing_that_means_something_in_a_key(value: Parameter) -> None:
    assert set(escape(value)) <= set(string.ascii_letters + string.digits + "_-~")


@pytest.mark.parametrize("value", [True, 1.5, None, b"raw", ("a",), "\ud800"])
def test_a_parameter_without_stable_text_is_refused(value: Any) -> None:
    class Feed(State):
        room = StateAppEvents(AddItem, key="room.{room}")

    with pytest.raises(InvalidKey, match=r"'room\.\{room\}', parameter room"):
        Feed.room.at(room=value)


def test_missing_and_unknown_parameters_are_named() -> None:
    class Feed(State):
        room = StateAppEvents(AddItem, key="at.{site}.room.{room}")
        items = StateAppEvents(AddItem)

    with pytest.raises(InvalidKey, match=r"site is missing, rom is unknown\. Write \.at\(site=…, room=…\)"):
        Feed.room.at(room=1, rom=1)
    with pytest.raises(InvalidKey, match="site is missing"):
        Feed.room.read()
    with pytest.raises(InvalidKey, match=r"leave \.at\(\) out"):
        Feed.items.at()


def test_a_member_may_not_be_longer_than_backplanes_take() -> None:
    class Feed(State):
        room = StateApp(int, key="room.{room}")

    assert Feed.room.at(room="x" * 395).set(1) == 1
    with pytest.raises(InvalidKey, match="401 characters"):
        Feed.room.at(room="x" * 396)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "an empty word"),
        ("a..b", "an empty word"),
        ("a.", "an empty word"),
        ("a b", "characters in 'a b'"),
        ("größe", "characters in 'größe'"),
        ("a{", "characters in"),
        ("room.{}", "a parameter ''"),
        ("room.{a b}", "a parameter 'a b'"),
        ("room.{0}", "a parameter '0'"),
        ("{a}{b}", "ambiguous"),
        ("room.{a}-{b}", "ambiguous"),
        ("{a}.x", "reserved"),
        ("room.{a}.{a}", "a parameter twice"),
        ("via.x", "reserved"),
        ("via", "reserved"),
        ("{tenant}.x", "reserved"),
        ("v{x}.y", "reserved"),
        ("x" * 257, "longer than 256"),
    ],
)
def test_a_bad_key_is_refused_at_use(key: str, why: str) -> None:
    class Feed(State):
        value = StateApp(int, key=key)

    with pytest.raises(DeclarationError, match=why):
        Feed.value.set(1)
    with pytest.raises(DeclarationError, match=r"^tests\.Feed\.value: The key"):
        _ = Feed.value.key


literals = st.sampled_from(["", "a", "b", "ab", "ba", "aab"])
words = st.builds(
    lambda prefix, family, suffix: f"{prefix}{{}}{suffix}" if family else prefix or "a",
    literals,
    st.booleans(),
    literals,
)


@st.composite
def templates_with_a_key(draw: st.DrawFn) -> tuple[KeyTemplate, str]:
    parts = draw(st.lists(words, min_size=1, max_size=3))
    named = [part.replace("{}", f"{{p{index}}}") for index, part in enumerate(parts)]
    template = KeyTemplate(".".join(["x", *named]))
    texts = {name: draw(st.sampled_from(["a", "b", "aa", "ab", "ba"])) for name in template.parameters}
    return template, template.fill(texts) if texts else template.text


@unhurried
@given(templates_with_a_key(), templates_with_a_key())
def test_templates_that_can_make_one_key_overlap(
    one: tuple[KeyTemplate, str], other: tuple[KeyTemplate, str]
) -> None:
    (first, key), (second, other_key) = one, other
    assert first.overlaps(second) == second.overlaps(first)
    if key == other_key:
        assert first.overlaps(second)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("room.{room}", "room.{id}", True),
        ("room.{room}", "room.7", True),
        ("room.{room}", "room.a.b", False),
        ("room.a{x}", "room.{y}b", True),
        ("room.a{x}", "room.b{y}", False),
        ("room.{x}a", "room.{y}b", False),
    ],
)
def test_templates_overlap_word_by_word(one: str, other: str, overlap: bool) -> None:
    assert KeyTemplate(one).overlaps(KeyTemplate(other)) is overlap
