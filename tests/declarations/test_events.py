"""State that is folded from events, by its verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Union, cast

import pytest

from tests.declarations.events import AddItem, Clear, Repeat, Tick
from via_state import Delivery, Offset, State, StateAppEvents
from via_state.exceptions import EpochChanged, EventRefused, NotCaughtUp, SyncVerbInEventLoop
from via_state.pod.pod import Pod
from via_state.testing import pods


class Feed(State):
    items = StateAppEvents(AddItem, key="events.items")
    shelf = StateAppEvents(AddItem, Clear, Repeat, default=["first"], key="events.shelf")
    room = StateAppEvents(Tick, key="events.room.{room}")


def test_what_is_appended_is_read() -> None:
    offset = Feed.items.append(AddItem("a"))
    assert isinstance(offset, Offset)
    assert offset == 1
    assert Feed.items.append_many([AddItem("b"), AddItem("c")]) == [2, 3]
    assert Feed.items.read() == ["a", "b", "c"]


async def test_what_is_appended_is_read_in_an_event_loop() -> None:
    assert await Feed.items.aappend(AddItem("a")) == 1
    assert await Feed.items.aappend_many(iter([AddItem("b"), AddItem("c")])) == [2, 3]
    assert await Feed.items.aread() == ["a", "b", "c"]
    assert Feed.items.read() == ["a", "b", "c"]


def test_a_log_folds_dataclasses_structs_and_attrs_classes_from_its_default() -> None:
    Feed.shelf.append(AddItem("a"))
    assert Feed.shelf.read() == ["first", "a"]
    Feed.shelf.append(Repeat(2))
    assert Feed.shelf.read() == ["first", "a", "first", "a"]
    Feed.shelf.append(Clear())
    assert Feed.shelf.read() == []


def test_the_value_before_the_first_event_is_its_types_own() -> None:
    assert Feed.items.read() == []
    assert Feed.room.at(room=1).read() == 0


def test_members_of_a_family_are_separate_logs() -> None:
    Feed.room.at(room="a").append(Tick())
    Feed.room.at(room="a").append(Tick())
    Feed.room.at(room="b").append(Tick())
    assert [Feed.room.at(room=room).read() for room in "abc"] == [2, 1, 0]


def test_a_foreign_event_is_refused_and_nothing_of_its_append_is_written() -> None:
    with pytest.raises(EventRefused, match="Tick"):
        Feed.items.append_many([AddItem("a"), cast(Any, Tick())])
    assert Feed.items.read() == []


def test_a_read_waits_for_an_offset() -> None:
    offset = Feed.items.append(AddItem("a"), wait=False)
    assert Feed.items.read(at_least=offset, timeout=5) == ["a"]
    with pytest.raises(NotCaughtUp):
        Feed.items.read(at_least=Offset(2, offset.epoch), timeout=0.05)
    with pytest.raises(EpochChanged):
        Feed.items.read(at_least=Offset(1, "another"), timeout=5)


async def test_blocking_verbs_name_their_twin_in_an_event_loop() -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: Feed.items.append(AddItem("a")), "aappend"),
        (lambda: Feed.items.append_many([AddItem("a")]), "aappend"),
        (lambda: Feed.items.append_on_commit(AddItem("a")), "aappend_on_commit"),
        (lambda: Feed.items.read(at_least=Offset(1, "")), "aread"),
        (lambda: Feed.room.at(room=1).read(), "aread"),
    ]
    for call, twin in calls:
        with pytest.raises(SyncVerbInEventLoop, match=twin):
            call()


@pytest.mark.django_db
def test_an_append_on_commit_comes_with_the_commit(django_capture_on_commit_callbacks: Any, pod: Pod) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        Feed.items.append_on_commit(AddItem("a"))
        pod.drain()
        assert Feed.items.read() == []
    pod.drain()
    assert Feed.items.read() == ["a"]


@pytest.mark.django_db(transaction=True)
async def test_an_append_on_commit_can_be_awaited(pod: Pod) -> None:
    await Feed.items.aappend_on_commit(AddItem("a"))
    await pod.adrain()
    assert await Feed.items.aread() == ["a"]


async def test_changes_give_the_value_now_and_each_newer_one() -> None:
    seen = []
    async with asyncio.timeout(5), aclosing(cast(Any, Feed.items.changes())) as values:
        async for value in values:
            seen.append(value)
            if len(seen) == 3:
                break
            await Feed.items.aappend(AddItem(str(len(seen))))
    assert seen == [[], ["1"], ["1", "2"]]


def test_a_handle_can_be_bound_to_another_pod() -> None:
    with pods(2) as (one, other):
        offset = Feed.items.using(one).append(AddItem("a"))
        assert Feed.items.using(other).read(at_least=offset) == ["a"]
        Feed.room.using(one).at(room=1).append(Tick())
        assert Feed.room.at(room=1).using(other).read() == 1
    assert Feed.items.read() == []


def test_the_type_of_the_value_can_be_written() -> None:
    class Odd(State):
        counted = StateAppEvents(Tick, value=bool)
        retired = StateAppEvents(Tick, retired=("Tock",))

    assert Odd.counted.read() is False
    Odd.retired.append(Tick())
    assert Odd.retired.read() == 1


def test_several_events_are_written_as_a_union() -> None:
    seen: list[object] = []
    alias = AddItem | Clear

    class Several(State):
        items = StateAppEvents(AddItem | Clear | Repeat)
        aliased = StateAppEvents(alias)
        spelled = StateAppEvents(cast(Any, Union[AddItem, Clear]))  # noqa: UP007

    @Several.items.on_event("some", Clear | Repeat)
    def some(event: Clear | Repeat, delivery: Delivery) -> None:
        seen.append(event)

    Several.items.append_many([AddItem("a"), Repeat(2), AddItem("b")])
    assert Several.items.read() == ["a", "a", "b"]
    assert Several.items.definition.events == (AddItem, Clear, Repeat)
    assert Several.items.definition.handlers["some"].events == (Clear, Repeat)
    assert Several.aliased.definition.events == Several.spelled.definition.events == (AddItem, Clear)


def test_a_default_is_never_shared() -> None:
    Feed.shelf.read().append("mine")
    with pods(1) as (pod,):
        assert Feed.shelf.using(pod).read() == ["first"]


def test_the_status_of_a_log_says_where_it_stands() -> None:
    Feed.items.append_many([AddItem("a"), AddItem("b")])
    Feed.items.read()
    assert Feed.items.status().position.offset == 2
    assert Feed.items.status().halted is None


def test_assigning_to_state_is_refused() -> None:
    feed = cast(Any, Feed({}))
    with pytest.raises(AttributeError, match=r"tests\.Feed\.items is a declaration.*Feed\.items\.append"):
        feed.items = ["a"]
