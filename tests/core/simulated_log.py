"""A log in plain Python with everything that can happen to one, and what each of its records must fold to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from tests.core.ledger import Ledger
from via_state.core.records import GENESIS, Batch, Pack, Position


class Kind(Enum):
    """What may be stored as one record; the values are its JSON, with the record's number in it."""

    CURRENT = '["Entered",2,{{"number":{0}}}]'
    OLD = '["Entered",1,{{"n":{0}}}]'
    FRAGILE = '["Entered",2,{{"number":{0},"fragile":true}}]'
    NEWER = '["Entered",3,{{"number":{0}}}]'
    UNKNOWN = '["Mystery",1,{{"number":{0}}}]'
    RETIRED = '["Withdrawn",1,{0}]'
    UNDECODABLE = '["Entered",2,{{"number":"{0}"}}]'
    NONSENSE = '{{"what":{0}}}'


ENTERS = (Kind.CURRENT, Kind.OLD, Kind.FRAGILE, Kind.NEWER)
UNREAD = (Kind.UNKNOWN, Kind.UNDECODABLE, Kind.NONSENSE)


@dataclass(frozen=True)
class Record:
    """One record, and what its whole history up to and with it comes to."""

    id: str
    offset: int
    kind: Kind
    folded: Ledger
    unread: int
    before: Record | None


@dataclass(frozen=True)
class State:
    """A log at one moment. ``records`` holds the discarded ones, too, and the ``lost`` ones, which are gone without a floor."""

    epoch: str = ""
    packs: tuple[Pack, ...] = ()
    records: tuple[Record, ...] = ()
    floor: Position = GENESIS
    lost: frozenset[Pack] = frozenset()

    @property
    def head(self) -> Position:
        if not self.records:
            return Position(self.epoch, 0, "")
        return Position(self.epoch, self.records[-1].offset, self.records[-1].id)

    def position(self, record: Record) -> Position:
        return Position(self.epoch, record.offset, record.id)

    def holds(self, position: Position) -> bool:
        """Whether this history contains what was folded up to a position."""
        if position == GENESIS:
            return True
        return position.epoch == self.epoch and any(one.id == position.record_id for one in self.records)

    def hole(self, after: Position) -> int:
        """How far records are lost that a reader at ``after`` needs next, or stands on; 0 when none is."""
        start, through = max(after.offset, self.floor.offset), 0
        for pack in self.packs:
            needed = pack.last > start or (
                pack.first <= after.offset <= pack.last and after.offset > self.floor.offset
            )
            if needed and pack in self.lost:
                through = max(pack.last if pack.last > start else 0, after.offset, through)
            elif pack.last > start:
                break
        return through

    def read(self, after: Position, limit: int, authoritative: bool = True) -> Batch:
        packs: list[Pack] = []
        hole = self.hole(after)
        for pack in self.packs:
            if pack.last > max(after.offset, self.floor.offset):
                if hole or pack in self.lost or (packs and sum(one.count for one in packs) + pack.count > limit):
                    break
                packs.append(pack)
        gone = {offset for pack in self.lost for offset in range(pack.first, pack.last + 1)}
        retained = (one for one in self.records if one.offset > self.floor.offset and one.offset not in gone)
        under = next((one.id for one in retained if one.offset == after.offset), None)
        return Batch(packs, self.head, self.floor, under, authoritative, hole)


class SimulatedLog:
    """The truth: ``state`` is what the log is now, ``past`` what it was at earlier moments."""

    def __init__(self) -> None:
        self.state = State()
        self.past: list[State] = [self.state]
        self.known: dict[str, Record] = {}
        self._numbers = itertools.count(1)
        self._packs = itertools.count(1)
        self._epochs = itertools.count(1)

    def _become(self, state: State) -> None:
        self.past.append(self.state)
        self.state = state

    def append(self, kinds: Sequence[Kind], gap: int = 0) -> None:
        """Append a pack, ``gap`` offsets after the last one."""
        state = self.state
        epoch = state.epoch or f"epoch{next(self._epochs)}"
        pack_id = f"{next(self._packs):032x}"
        first = state.head.offset + 1 + gap
        records, data = list(state.records), []
        for index, kind in enumerate(kinds):
            number = next(self._numbers)
            before = records[-1] if records else None
            record = Record(
                id=f"{pack_id}-{index}",
                offset=first + index,
                kind=kind,
                folded=(before.folded if before else ()) + ((number,) if kind in ENTERS else ()),
                unread=(before.unread if before else 0) + (kind in UNREAD),
                before=before,
            )
            records.append(record)
            self.known[record.id] = record
            data.append(msgspec.Raw(kind.value.format(number).encode()))
        pack = Pack(pack_id, first, len(kinds), msgspec.json.encode(data))
        floor = state.floor if state.epoch else Position(epoch, 0, "")
        self._become(State(epoch, (*state.packs, pack), tuple(records), floor, state.lost))

    def compact(self, record: Record) -> None:
        """Discard up to a record; the pack that it stands in stays as long as it has later records."""
        state = self.state
        if record.offset > state.floor.offset:
            packs = tuple(pack for pack in state.packs if pack.last > record.offset)
            self._become(State(state.epoch, packs, state.records, state.position(record), state.lost & {*packs}))

    def lose(self, pack: Pack) -> None:
        """Delete the rows of an append, and nothing else."""
        state = self.state
        self._become(State(state.epoch, state.packs, state.records, state.floor, state.lost | {pack}))

    def put_back(self) -> None:
        """Restore all rows that were lost."""
        state = self.state
        self._become(State(state.epoch, state.packs, state.records, state.floor))

    def truncate(self, keep: int) -> None:
        """Lose the newest packs: only ``keep`` are left, as after restoring an old backup over the same epoch."""
        state = self.state
        packs = state.packs[:keep]
        last = packs[-1].last if packs else state.floor.offset
        records = tuple(one for one in state.records if one.offset <= last)
        self._become(State(state.epoch, packs, records, state.floor, state.lost & {*packs}))

    def move(self) -> None:
        """Copy the log to another backplane: the same record ids in another epoch."""
        state = self.state
        epoch = f"epoch{next(self._epochs)}"
        self._become(State(epoch, state.packs, state.records, state.floor._replace(epoch=epoch), state.lost))

    def drop(self) -> None:
        """Delete the log; the next append begins another epoch."""
        self._become(State())
