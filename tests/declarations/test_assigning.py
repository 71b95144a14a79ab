"""A declaration stays what it is: assigning to it is refused, and says which verb was meant."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.declarations.events import AddItem
from via_state import State, StateApp, StateAppEvents, StateSess


class Base(State, abstract=True):
    title = StateApp(str)


class Feed(Base):
    banner = StateApp(str, key="assigned.banner")
    profile = StateSess(str, key="assigned.profile")
    items = StateAppEvents(AddItem, key="assigned.items")
    limit = 10


class More(Feed):
    pass


VERBS = {
    "banner": r"Feed\.banner\.set\(",
    "profile": r"Feed\(request\)\.profile\.set\(",
    "items": r"Feed\.items\.append\(",
    "title": r"Feed\.title\.set\(",
}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize(
    "target", [Feed, More, Feed({}), More({})], ids=["class", "subclass", "bound", "bound subclass"]
)
def test_assigning_to_a_declaration_names_the_verb_that_was_meant(target: Any, name: str) -> None:
    before = vars(Feed)[name]
    with pytest.raises(AttributeError, match=VERBS[name]):
        setattr(target, name, "x")
    with pytest.raises(AttributeError, match=VERBS[name]):
        delattr(target, name)
    assert vars(Feed)[name] is before
    assert name not in vars(More)


def test_a_member_and_a_base_are_no_way_around() -> None:
    with pytest.raises(AttributeError, match=r"title is a declaration"):
        cast(Any, Base).title = "x"
    with pytest.raises(AttributeError):
        cast(Any, Feed.banner).key = "other"


def test_a_declaration_that_comes_after_the_class_is_refused() -> None:
    for state in (Feed, State):
        with pytest.raises(AttributeError, match="Write it in the body of the class"):
            cast(Any, state).late = StateApp(str)
    assert not hasattr(Feed, "late")


def test_other_attributes_of_the_class_may_be_set() -> None:
    Feed.limit = 11
    assert More.limit == 11
    del cast(Any, Feed).limit
    Feed.limit = 10
