"""Two declarations with one key: an error, unless both say so and agree."""

from __future__ import annotations

import pytest

from tests.declarations.events import AddItem, Clear
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser
from via_state.checks import check_declarations
from via_state.exceptions import DeclarationError


def collisions() -> list[str]:
    return [f"{found.obj}: {found.msg}" for found in check_declarations() if found.id == "via_state.E001"]


def test_fields_of_one_name_collide() -> None:
    class Feed(State):
        items = StateAppEvents(AddItem)

    class News(State):
        items = StateAppEvents(AddItem)

    assert collisions() == ["tests.News.items: Its key 'items' is also a key of tests.Feed.items."]
    for handle in (Feed.items, News.items):
        with pytest.raises(DeclarationError, match="to share the state, write key= on both"):
            handle.append(AddItem("a"))


def test_a_key_written_on_one_side_only_collides() -> None:
    class Feed(State):
        items = StateAppEvents(AddItem)
        other = StateAppEvents(AddItem, key="items")

    assert len(collisions()) == 1


def test_declarations_that_write_one_key_and_agree_share_the_state() -> None:
    class Feed(State):
        items = StateAppEvents(AddItem, Clear, key="all")
        banner = StateApp(str, key="text")

    class News(State):
        latest = StateAppEvents(Clear, AddItem, key="all")
        text = StateApp(str, key="text")

    assert collisions() == []
    Feed.items.append(AddItem("a"))
    Feed.banner.set("hello")
    assert News.latest.read() == ["a"]
    assert News.text.read() == "hello"


class Feed(State, abstract=True):
    """Sides of a key that is written twice and does not agree."""

    events = StateAppEvents(AddItem, key="k")
    more = StateAppEvents(AddItem, Clear, key="k")
    primed = StateAppEvents(AddItem, key="k", default=["x"])
    retired = StateAppEvents(AddItem, key="k", retired=("Old",))
    cell = StateApp(list[str], key="k")
    text = StateApp(str, key="k")
    version = StateApp(str, key="k", version=2)


@pytest.mark.parametrize("other", ["more", "primed", "retired", "cell"])
def test_logs_that_write_one_key_and_differ_collide(other: str) -> None:
    class One(State):
        field = StateAppEvents(AddItem, key="k")

    type("Two", (State,), {"field": vars(Feed)[other].declared_again()})
    (found,) = collisions()
    assert "differs in kind, type or initial value" in found


@pytest.mark.parametrize("other", ["cell", "version", "events"])
def test_values_that_write_one_key_and_differ_collide(other: str) -> None:
    class One(State):
        field = StateApp(str, key="k")

    type("Two", (State,), {"field": vars(Feed)[other].declared_again()})
    (found,) = collisions()
    assert "differs in kind, type or initial value" in found


def test_families_collide_whatever_their_parameters_are_called() -> None:
    class Chat(State):
        room = StateAppEvents(AddItem, key="room.{room}")
        hall = StateApp(str, key="room.{hall}")
        lobby = StateApp(str, key="room.lobby")

    assert collisions() == [
        "tests.Chat.hall: Its key 'room.{hall}' is also a key of tests.Chat.room, 'room.{room}', "
        "which differs in kind, type or initial value.",
        "tests.Chat.lobby: Its key 'room.lobby' is also a key of tests.Chat.room, 'room.{room}', "
        "which differs in kind, type or initial value.",
    ]


def test_state_of_everybody_of_a_session_and_of_a_user_do_not_collide() -> None:
    class Site(State):
        theme = StateApp(str)

    class Session(State):
        theme = StateSess(str)

    class User(State):
        theme = StateUser(str)

    assert collisions() == []
