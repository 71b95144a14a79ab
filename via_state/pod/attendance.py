"""The people with tabs on this process, by the key of the list that they are on, and the processes that are gone."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from weakref import ref

from via_state.core.cells import CellCodec
from via_state.core.presence import ENDED, Beats, Rolls, Sightings, called
from via_state.core.specs import CellSpec
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown, UpdateContended, ViaStateError
from via_state.pod.companions import Companions
from via_state.pod.people import PeopleHere, Person
from via_state.pod.pod import Pod
from via_state.runtime.periodic import Periodic
from via_state.runtime.rng import rng

#: Seconds in which comings and goings are gathered to one write; between two beats; between two looks at others' beats.
GATHER, BEAT, LOOK = 0.25, 10.0, 3.0
#: Seconds between two writes of a list. Each has the doorbell rung, and the list looked at again: two statements.
APART = 0.5
#: Seconds for which somebody who left is still here, since a page that is loaded again leaves and comes; and is away.
LEAVING, AWAY = 5.0, 1800.0
#: Seconds for which a list is looked at that was read here; lists that are; people of one process that one list names.
INTEREST, MOST, MOST_PEOPLE = 600.0, 1000, 2000
#: The cell of beats.
BEATS = "via.presence"
_BEATS: CellSpec[Beats] = CellSpec(BEATS, CellCodec(Beats, 1), dict, family=False)


class Attendance(Periodic):
    """On the pod's loop, except where it says so. A process without tabs and readers of lists writes nothing."""

    def __init__(self, pod: Pod) -> None:
        super().__init__("Who is here", self._round, lambda: GATHER if self._dirty else LOOK)
        self._of = ref(pod)  # which holds us
        self._lists: dict[str, PeopleHere] = {}
        self._sightings = Sightings()
        self._beat = rng.randrange(1 << 30)
        self._beaten = -BEAT
        #: The processes that are gone.
        self.gone: frozenset[str] = frozenset()

    @property
    def _dirty(self) -> bool:
        return any(one.dirty for one in self._lists.values())

    @property
    def _pod(self) -> Pod:
        pod = self._of()
        if pod is None:
            raise Closed("The pod was closed.")
        return pod

    def note(self, key: str, spec: CellSpec[Rolls]) -> None:
        """A list is read here: for a while it is looked at, and those who are gone are taken from it. From any thread."""
        found = self._lists.get(key)
        if found is None or time.monotonic() - found.read > LOOK:
            with suppress(Closed):
                self._pod.thread.soon(self._noted, key, spec)

    def _noted(self, key: str, spec: CellSpec[Rolls]) -> None:
        self._list(key, spec).read = time.monotonic()

    def come(self, key: str, spec: CellSpec[Rolls], id: str, user: str) -> None:
        """A tab of somebody shows the list's page."""
        found = self._list(key, spec)
        person = found.people.get(id)
        if person is None:
            if len(found.people) >= MOST_PEOPLE:
                return
            person = found.people[id] = Person(id, user)
        person.tabs += 1
        person.until, person.asleep = float("inf"), False
        self._soon(found)

    def go(self, key: str, id: str, *, asleep: bool) -> None:
        """A tab of somebody is closed, or sleeps."""
        found = self._lists.get(key)
        person = None if found is None else found.people.get(id)
        if found is None or person is None:
            return
        person.tabs = max(0, person.tabs - 1)
        if not person.tabs:
            person.asleep = asleep
            person.until = time.monotonic() + (AWAY if asleep else LEAVING)
        self._soon(found)

    def _list(self, key: str, spec: CellSpec[Rolls]) -> PeopleHere:
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = PeopleHere(spec)
            if len(self._lists) > MOST:
                for other in [one for one, it in self._lists.items() if not it.people and not it.ours][:1]:
                    del self._lists[other]
        return found

    def _soon(self, found: PeopleHere) -> None:
        if not found.dirty:
            found.changed(GATHER, APART)
            asyncio.get_running_loop().call_later(found.due - time.monotonic(), self.ring)

    async def _round(self) -> None:
        now = time.monotonic()
        for key, found in list(self._lists.items()):
            for person in [one for one in found.people.values() if one.until <= now]:
                del found.people[person.id]
                found.changed(0.0, APART)
            if not found.people and not found.ours and now - found.read > INTEREST:
                del self._lists[key]
        if not self._lists:
            return
        stored, errors = dict[str, Rolls](), list[Exception]()
        for key, found in list(self._lists.items()):
            try:
                stored[key] = await self._pod.aget(key, found.spec)
            except ViaStateError as error:
                errors.append(error)
        await self._look_at_beats(stored, now)
        for key, rolls in stored.items():
            if (kept := self._lists.get(key)) is not None:
                self._forget_the_awake(kept, rolls)
                if (kept.dirty and now >= kept.due) or self.gone & rolls.keys():
                    try:
                        await self._write(key, kept)
                    except ViaStateError as error:
                        errors.append(error)
        for one in errors:
            raise one  # after all others had their turn

    async def _look_at_beats(self, stored: dict[str, Rolls], now: float) -> None:
        pod = self._pod
        beats = await pod.aget(BEATS, _BEATS)
        others = {process for rolls in stored.values() for process in rolls} - {pod.pod_id}
        gone = self._sightings.look(others, {one: beat for one, beat in beats.items() if one != pod.pod_id}, now)
        self.gone = frozenset(gone)
        here = any(one.people for one in self._lists.values())
        if (here and now - self._beaten >= BEAT * rng.uniform(0.8, 1.0)) or gone & beats.keys():
            self._beat += 1
            mine = {pod.pod_id: self._beat} if here else {}
            await pod.aupdate(
                BEATS, _BEATS, lambda beats: {one: it for one, it in beats.items() if one not in gone} | mine
            )
            self._beaten = now

    def _forget_the_awake(self, found: PeopleHere, rolls: Rolls) -> None:
        """Who is away here, and came to another process, was taken from our roll by that one."""
        if not found.ours or found.dirty:
            return
        here = {one.id for one in rolls.get(self._pod.pod_id, ())}
        for person in [one for one in found.people.values() if one.asleep and one.id not in here]:
            del found.people[person.id]

    async def _write(self, key: str, found: PeopleHere) -> None:
        process, gone = self._pod.pod_id, self.gone
        found.dirty, found.written = False, time.monotonic()
        mine = [one.present() for one in found.people.values()]
        try:
            rolls = await self._pod.aupdate(key, found.spec, lambda rolls: called(rolls, process, mine, gone))
        except (BackplaneUnavailable, OutcomeUnknown, UpdateContended):
            found.changed(GATHER, APART)
            raise
        found.ours = process in rolls
        for one in rolls.get(process, ()):
            if one.id in found.people:
                found.people[one.id].since = one.since

    async def settle(self) -> None:
        """Write what waits. For tests."""
        for key, found in list(self._lists.items()):
            if found.dirty:
                await self._write(key, found)

    async def _drain(self) -> None:
        """Our people go elsewhere: they count for a moment."""
        await self._flight.ended()
        process = self._pod.pod_id
        if any(one.ours for one in self._lists.values()):
            with suppress(TimeoutError, ViaStateError):
                async with asyncio.timeout(1.0):
                    await self._pod.aupdate(BEATS, _BEATS, lambda beats: {**beats, process: ENDED})


_attendances = Companions(Attendance)
attendance_of = _attendances.of
