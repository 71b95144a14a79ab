"""What subclasses of a `State` class share, and what they have of their own."""

from __future__ import annotations

import pytest

from tests.declarations.events import AddItem
from via_state import State, StateApp, StateAppEvents
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError


def test_a_subclass_shares_the_state_of_a_concrete_class() -> None:
    class Feed(State):
        items = StateAppEvents(AddItem)

    class Extended(Feed):
        extra = StateApp(str)

    Extended.items.append(AddItem("a"))
    assert Feed.items.read() == ["a"]
    assert [str(one) for one in registry.definitions()] == ["tests.Feed.items", "tests.Extended.extra"]


def test_each_subclass_of_an_abstract_class_has_state_of_its_own() -> None:
    class Base(State, abstract=True):
        items = StateAppEvents(AddItem)
        limit = StateApp[int | None](default=None)

    class Feed(Base):
        pass

    Feed.items.append(AddItem("a"))
    Feed.limit.set(3)
    assert Feed.items.read() == ["a"]
    assert [str(one) for one in registry.definitions()] == ["tests.Feed.items", "tests.Feed.limit"]
    with pytest.raises(DeclarationError, match=r"tests\.Base\.items belongs to an abstract class"):
        Base.items.read()

    class News(Base):
        items = StateAppEvents(AddItem, key="news.items")

    with pytest.raises(DeclarationError, match=r"Its key 'limit' is also a key of tests\.Feed\.limit"):
        News.limit.read()
    assert News.items.read() == []


def test_a_field_can_be_taken_out_of_what_an_abstract_class_leaves() -> None:
    class Base(State, abstract=True):
        banner = StateApp(str)
        limit = StateApp(int)

    class Middle(Base, abstract=True):
        limit = StateApp(int, key="limits")

    class Site(Middle):
        banner = None  # type: ignore[assignment]

    assert [str(one) for one in registry.definitions()] == ["tests.Site.limit"]
    assert Site.limit.key == "limits"


def test_one_declaration_under_two_names_is_refused() -> None:
    class Site(State):
        banner = StateApp(str)

    with pytest.raises(DeclarationError, match=r"Other\.text is the very object that tests\.Site\.banner is"):

        class Other(State):
            text = Site.banner


def test_a_class_that_is_defined_again_replaces_itself() -> None:
    def define() -> type[State]:
        class Feed(State):
            items = StateAppEvents(AddItem)

        return Feed

    define()
    latest = define()
    assert [definition.state for definition in registry.definitions()] == [latest]
