"""What type checkers refuse. Never imported.

The comments name the error that mypy and pyright must find on their line. The test takes the comments away first.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase

from tests.typing.accepted import AddItem, Clear, Feed
from via_state import Delivery, State, StateApp, StateAppEvents


@dataclass
class Foreign:
    def fold(self, count: int) -> int:
        return count


@dataclass
class Foldless:
    text: str


class Wrong(State):
    foldless = StateAppEvents(Foldless)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    union = StateAppEvents(AddItem | Foldless)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    option = StateAppEvents(AddItem | Clear, keys="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    version = StateApp(int, version="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    number = StateApp[int](default="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    default = StateAppEvents(AddItem, value=list[str], default=3)  # type: ignore[arg-type]


# Foreign events
Feed.items.append(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.items.append(Clear())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.items.append("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.items.append_many([Foreign()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Feed.items.append_on_commit(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.room.at(room=7).append(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.union.at(room=7).append(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.scores.append(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def owned(session: SessionBase, user: User) -> None:
    Feed(session).cart.append(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Feed(user).orders.at(shop=1).append(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Event handlers of other events, or with other options
@Feed.items.on_event("clear")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def clear(event: Clear, delivery: Delivery) -> None: ...


@Feed.room.on_event("narrow", Clear)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def narrow(event: AddItem, delivery: Delivery) -> None: ...


@Feed.many.on_event("some", AddItem | Clear)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def some(event: AddItem, delivery: Delivery) -> None: ...


@Feed.items.on_event("bare")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def bare(event: AddItem) -> None: ...


Feed.items.on_event("start", start="middle")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]

# Values of another type
Feed.banner.set(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.banner.update(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed.limit.set("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
text: str = Feed.limit.read()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# Assigning where a verb was meant
Feed.banner = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

# Family parameters without stable text
Feed.room.at(room=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Owners
Feed(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Feed()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaited() -> None:
    await Feed.items.aappend(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Feed.banner.aupdate(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
