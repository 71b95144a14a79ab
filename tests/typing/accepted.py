"""What type checkers make of declared state. Never imported: it is read by mypy and by pyright."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_type
from uuid import UUID

import attrs
import msgspec
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from via_state import (
    Delivery,
    Offset,
    Retry,
    State,
    StateApp,
    StateAppEvents,
    StateSess,
    StateSessEvents,
    StateUser,
    StateUserEvents,
)
from via_state.pod.pod import Pod


@dataclass(frozen=True, slots=True)
class AddItem:
    text: str

    def fold(self, items: list[str]) -> list[str]:
        return [*items, self.text]


class Clear(msgspec.Struct, frozen=True):
    def fold(self, items: list[str]) -> list[str]:
        return []


@attrs.frozen
class Repeat:
    times: int

    def fold(self, items: list[str], /) -> list[str]:
        return items * self.times


@dataclass(frozen=True)
class Double:
    def fold(self, items: list[str]) -> list[str]:
        return items * 2


@dataclass(frozen=True)
class Halve:
    def fold(self, items: list[str]) -> list[str]:
        return items[::2]


Item = AddItem | Clear


@dataclass(frozen=True)
class Scored:
    name: str

    def fold(self, scores: Mapping[str, int]) -> dict[str, int]:
        return {**scores, self.name: scores.get(self.name, 0) + 1}


@dataclass(frozen=True)
class Forget:
    name: str

    def fold(self, scores: Mapping[str, int]) -> dict[str, int]:
        return {name: score for name, score in scores.items() if name != self.name}


@dataclass(frozen=True)
class Best:
    score: int

    def fold(self, best: int | None) -> int | None:
        return self.score if best is None else max(best, self.score)


@dataclass
class Profile:
    name: str = ""


class Feed(State):
    banner = StateApp(str)
    limit = StateApp[int | None](default=None)
    links = StateApp(list[str], default=list)
    point = StateApp(tuple[int, str], default=(0, ""))
    notice = StateApp(str, key="notice.{site}", default=lambda: "none")
    profile = StateSess(Profile)
    draft = StateSess[str | None](default=None)
    theme = StateUser(str, default="auto")
    cart = StateSessEvents(AddItem | Clear)
    visits = StateSessEvents(Scored, value=dict[str, int])
    orders = StateUserEvents(AddItem, Clear, key="orders.{shop}")
    items = StateAppEvents(AddItem)
    room = StateAppEvents(AddItem, Clear, key="room.{room}", default=["welcome"], retired=("Old",))
    three = StateAppEvents(AddItem, Clear, Repeat)
    four = StateAppEvents(AddItem, Clear, Repeat, AddItem)
    union = StateAppEvents(AddItem | Clear, key="union.{room}", default=["welcome"])
    alias = StateAppEvents(Item)
    many = StateAppEvents(AddItem | Clear | Repeat | Double | Halve, version=2)
    typed = StateAppEvents(Scored | Forget, value=dict[str, int], default=dict)
    best = StateAppEvents(Best, default=None)
    scores = StateAppEvents(Scored, value=dict[str, int], default=lambda: {"nobody": 0})


class Base(State, abstract=True):
    items = StateAppEvents(AddItem)


class Derived(Base):
    pass


# Declarations -------------------------------------------------------------------------------------------------

assert_type(Feed.banner, StateApp[str])
assert_type(Feed.profile, StateSess[Profile])
assert_type(Feed.theme, StateUser[str])
assert_type(Feed.items, StateAppEvents[AddItem])
assert_type(Feed.room, StateAppEvents[AddItem | Clear])
assert_type(Feed.three, StateAppEvents[AddItem | Clear | Repeat])
assert_type(Feed.four, StateAppEvents[AddItem | Clear | Repeat])
assert_type(Feed.union, StateAppEvents[AddItem | Clear])
assert_type(Feed.alias, StateAppEvents[AddItem | Clear])
assert_type(Feed.many, StateAppEvents[AddItem | Clear | Repeat | Double | Halve])
assert_type(Derived.items, StateAppEvents[AddItem])
assert_type(Feed.items.key, str)

# Values -------------------------------------------------------------------------------------------------------

assert_type(Feed.banner.read(), str)
assert_type(Feed.limit.read(), int | None)
assert_type(Feed.links.read(), list[str])
assert_type(Feed.point.read(), tuple[int, str])
assert_type(Feed.notice.at(site=7).read(), str)
assert_type(Feed.notice.at(site="a").set("x"), str)
assert_type(Feed.banner.update(lambda old: old.upper()), str)
assert_type(Feed.banner.update(str.upper), str)
assert_type(Feed.limit.update(lambda old: (old or 0) + 1), int | None)
assert_type(Feed.links.update(lambda old: [*old, "x"]), list[str])
Feed.banner.reset(force=True)


def by_owner(request: HttpRequest, scope: dict[str, Any], session: SessionBase, user: User) -> None:
    assert_type(Feed(request).profile.read(), Profile)
    assert_type(Feed(request).theme.set("dark"), str)
    assert_type(Feed(request).items.read(), list[str])
    assert_type(Feed(scope).draft.read(), str | None)
    assert_type(Feed(session).profile.update(lambda old: old), Profile)
    assert_type(Feed(user).theme.read(), str)
    assert_type(Feed(request).cart, StateSessEvents[AddItem | Clear])
    assert_type(Feed(request).cart.append(Clear()), Offset)
    assert_type(Feed(session).visits.read(), dict[str, int])
    assert_type(Feed(user).orders, StateUserEvents[AddItem | Clear])
    assert_type(Feed(user).orders.at(shop=1).read(), list[str])
    Feed(request.user).theme.reset()
    Feed(AnonymousUser()).theme.reset()


# Events -------------------------------------------------------------------------------------------------------

assert_type(Feed.items.append(AddItem("a")), Offset)
assert_type(Feed.items.append_many([AddItem("a")], wait=False), Sequence[Offset])
assert_type(Feed.items.read(), list[str])
assert_type(Feed.items.read(at_least=Feed.items.append(AddItem("b")), timeout=2.0), list[str])
Feed.items.append_on_commit(AddItem("a"))

assert_type(Feed.room.at(room=7).append(Clear()), Offset)
assert_type(Feed.room.at(room=UUID(int=7)).append_many([Clear(), AddItem("a")]), Sequence[Offset])
assert_type(Feed.room.at(room="a").read(), list[str])
assert_type(Feed.three.read(), list[str])
assert_type(Feed.four.read(), list[str])
assert_type(Feed.union.at(room=7).read(), list[str])
assert_type(Feed.many.read(), list[str])
assert_type(Feed.typed.read(), dict[str, int])
assert_type(Feed.best.read(), int | None)
assert_type(Feed.scores.read(), dict[str, int])
Feed.four.append(Repeat(2))
Feed.union.at(room=7).append(Clear())
Feed.many.append(Halve())
Feed.typed.append(Forget("ann"))
Feed.scores.append(Scored("ann"))


# Event handlers -----------------------------------------------------------------------------------------------


@Feed.items.on_event("ship")
def ship(event: AddItem, delivery: Delivery) -> None:
    assert_type(delivery.attempt, int)


@Feed.room.on_event("mail", retry=Retry(max_attempts=3), atomic=True, start="head")
async def mail(event: AddItem | Clear, delivery: Delivery) -> None: ...


@Feed.room.on_event("clear", Clear)
def clear(event: Clear, delivery: Delivery) -> None: ...


@Feed.three.on_event("two", Clear, AddItem)
def two(event: Clear | AddItem, delivery: Delivery) -> None: ...


@Feed.many.on_event("some", AddItem | Clear | Repeat | Double)
def some(event: AddItem | Clear | Repeat | Double, delivery: Delivery) -> None: ...


@Feed.scores.on_event("count", Scored)
def count_scores(event: Scored, delivery: Delivery) -> None: ...


@Feed.room.on_event("any")
def anything(event: object, delivery: Delivery) -> int:
    return 1


ship(AddItem("a"), Delivery("ship", "items", Offset(1, "epoch"), "epoch", 1, "key"))


def on_a_pod(pod: Pod) -> None:
    assert_type(Feed.items.using(pod).read(), list[str])
    assert_type(Feed.room.using(pod).at(room=1).append(Clear()), Offset)
    assert_type(Feed.banner.using(pod).read(), str)


def narrow(log: StateAppEvents[AddItem | Clear]) -> list[str]:
    log.append(Clear())
    return log.read()


narrow(Feed.room)


# Awaited ------------------------------------------------------------------------------------------------------


async def shout(old: str) -> str:
    return old.upper()


async def awaited() -> None:
    assert_type(await Feed.banner.aread(), str)
    assert_type(await Feed.banner.aset("x"), str)
    assert_type(await Feed.banner.aupdate(shout), str)
    assert_type(await Feed.banner.aupdate(lambda old: old + "!"), str)
    assert_type(await Feed.limit.aupdate(lambda old: (old or 0) + 1), int | None)
    await Feed.banner.areset()
    assert_type(Feed.banner.changes(), AsyncGenerator[str, None])
    assert_type(await Feed.items.aappend(AddItem("a")), Offset)
    assert_type(await Feed.items.aappend_many([AddItem("a")]), Sequence[Offset])
    assert_type(await Feed.items.aread(), list[str])
    await Feed.items.aappend_on_commit(AddItem("a"))
    async for value in Feed.room.at(room=7).changes():
        assert_type(value, list[str])
