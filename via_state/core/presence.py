"""Who is here: what processes store of those that they see, and how one list is made of it. Pure: times are given.

The cell of a list holds a roll for each process: the people with tabs on it. One cell for all lists holds a beat for each process,
which it raises every few seconds. A process whose beat a reader has not seen move for a while, by the reader's own clock, was killed: no two
clocks need to agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

#: Seconds for which a beat may be the same; and for which the rolls of a process that has ended count, since its people come back
#: elsewhere.
SILENCE, ENDED_SILENCE = 30.0, 10.0
#: The beat of a process that has ended.
ENDED = -1


class Present(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who has tabs on one process, or had: ``tabs`` is 0 while they are away. ``since``: seconds since 1970."""

    id: str
    user: str
    since: float
    tabs: int


#: Who is on each process; and its beats.
Rolls = dict[str, tuple[Present, ...]]
Beats = dict[str, int]


class Member(NamedTuple):
    """Somebody who is here. ``id`` is the same on all of their tabs; ``user`` is the primary key as text, empty for a visitor who is
    not signed in. ``since``: when they came. ``tabs``: how many they have open; ``away``: all of these sleep, since nobody looks at them.
    """

    id: str
    user: str
    since: datetime
    tabs: int
    away: bool


def members(rolls: Rolls, without: Collection[str] = ()) -> tuple[Member, ...]:
    """One list of all, who came first first. ``without``: processes that are gone."""
    people: dict[str, Present] = {}
    for process, roll in rolls.items():
        for one in () if process in without else roll:
            other = people.get(one.id)
            people[one.id] = one if other is None else joined(one, other)
    return tuple(
        Member(one.id, one.user, datetime.fromtimestamp(one.since, UTC), one.tabs, one.tabs == 0)
        for one in sorted(people.values(), key=lambda one: (one.since, one.id))
    )


def joined(one: Present, other: Present) -> Present:
    """The same person on two processes."""
    return Present(one.id, one.user, min(one.since, other.since), one.tabs + other.tabs)


def called(rolls: Rolls, process: str, mine: Collection[Present], gone: Collection[str]) -> Rolls:
    """The rolls with that of one process as it is now, without those that are gone. Who is awake here is away nowhere else."""
    awake = {one.id for one in mine if one.tabs}
    since: dict[str, float] = {}
    left: Rolls = {}
    for name, roll in rolls.items():
        for one in roll:
            since[one.id] = min(one.since, since.get(one.id, one.since))
        if name != process and name not in gone:
            left[name] = tuple(one for one in roll if one.tabs or one.id not in awake)
    left[process] = tuple(
        Present(one.id, one.user, min(one.since, since.get(one.id, one.since)), one.tabs) for one in mine
    )
    return {name: roll for name, roll in left.items() if roll}


class Sightings:
    """When the beat of each process was last seen to move."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int | None, float]] = {}

    def look(self, processes: Iterable[str], beats: Beats, now: float) -> set[str]:
        """Look at the beats of these processes. Those that are gone."""
        gone, seen = set(), {}
        for process in {*processes, *beats}:
            beat = beats.get(process)
            before, since = self._seen.get(process, (beat, now))
            seen[process] = beat, since if before == beat else now
            if now - seen[process][1] >= (ENDED_SILENCE if beat == ENDED else SILENCE):
                gone.add(process)
        self._seen = seen
        return gone
