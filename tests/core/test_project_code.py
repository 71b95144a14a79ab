"""Whatever code of the project raises inside ours is a fault of that code; a Ctrl-C and the end of memory are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from via_state.core.cells import CellCodec, Holds, holds_of, writes_of
from via_state.core.event_types import EventType
from via_state.core.events import EventCodec, Stored, Unreadable
from via_state.core.manifest import Manifest
from via_state.core.projection import Projection
from via_state.core.records import GENESIS, Batch, Pack, Position
from via_state.core.snapshots import Snapshot, SnapshotSpec, choose_restore_point
from via_state.core.specs import LogSpec
from via_state.core.values import ValueCodec
from via_state.exceptions import CellUnreadable, EventRefused, ValueRefused

ID = "0" * 32
#: What no code of ours may swallow.
PASSED_ON = [MemoryError("full"), KeyboardInterrupt()]
#: What would end a thread or a task of ours, and is only a fault of the project's.
FAULTS = [SystemExit("over"), GeneratorExit(), ValueError("no")]


@dataclass
class Fragile:
    """Each time it is made it raises what is next."""

    number: int

    faults: ClassVar[list[BaseException | None]] = []

    def __post_init__(self) -> None:
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault

    def fold(self, count: int) -> int:
        return count + 1


@pytest.fixture
def faults() -> Iterator[list[BaseException | None]]:
    yield Fragile.faults
    Fragile.faults.clear()


CELLS, VALUES, EVENTS = (
    CellCodec[Fragile](Fragile),
    ValueCodec[Fragile](Fragile),
    EventCodec([EventType.of(Fragile)]),
)
ONE = Fragile(1)
CELL = CELLS.encode(ONE, write_id="w", writes=(), pause=0)
PACK = EVENTS.encode([ONE])
MANIFEST = Manifest(1, "value", "initial", {})


def restore(data: bytes = b'{"number":1}', manifest: Manifest = MANIFEST) -> object:
    stored = Snapshot(Position("e", 1, "r"), MANIFEST, data, "")
    steps = {(1, 2): VALUES.convert}
    spec = SnapshotSpec(VALUES, manifest, steps)
    return choose_restore_point(spec, [stored], head=Position("e", 1, "r"), floor=1, disproven=())


CALLS: list[tuple[Callable[[], object], int]] = [
    (lambda: CELLS.encode(ONE, write_id="w", writes=(), pause=0), 0),
    (lambda: CELLS.decode(CELL), 0),
    (lambda: VALUES.encode(ONE), 0),
    (lambda: EVENTS.encode([ONE]), 0),
    (lambda: EVENTS.encode([ONE]), 1),  # while it looks for the event that is to blame
    (lambda: EVENTS.decode(PACK, 1), 0),
    (lambda: EVENTS.decode(PACK, 1), 1),  # one by one
    (lambda: EVENTS.problem(EVENTS.stored(PACK, 1, 0)), 0),
    (lambda: restore(), 0),
    (lambda: restore(manifest=Manifest(2, "value", "initial", {})), 0),
]


@pytest.mark.parametrize("error", PASSED_ON, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("call", "before"), CALLS, ids=range(len(CALLS)))
def test_a_ctrl_c_and_the_end_of_memory_go_through(
    call: Callable[[], object], before: int, error: BaseException, faults: list[BaseException | None]
) -> None:
    faults += [*[ValueError("a fault before it")] * before, error]
    with pytest.raises(type(error)):
        call()


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_everything_else_is_a_fault_of_that_code(error: BaseException, faults: list[BaseException | None]) -> None:
    def failing() -> None:
        faults[:] = [error] * 9

    failing()
    with pytest.raises(ValueRefused):
        CELLS.encode(ONE, write_id="w", writes=(), pause=0)
    failing()
    with pytest.raises(CellUnreadable):
        CELLS.decode(CELL)
    failing()
    with pytest.raises(ValueRefused):
        VALUES.encode(ONE)
    failing()
    with pytest.raises(EventRefused):
        EVENTS.encode([ONE])
    failing()
    assert EVENTS.decode(PACK, 1).events == [Unreadable.UNDECODABLE]


def test_events_that_fail_together_and_not_alone_are_refused_with_the_reason(
    faults: list[BaseException | None],
) -> None:
    faults[:] = [ValueError("now and then")]
    with pytest.raises(EventRefused, match="can't be stored together: ValueError was raised"):
        EVENTS.encode([ONE])
    assert EVENTS.encode([ONE]) == PACK


class Odd(str):
    """A text whose comparison raises."""

    __slots__ = ()
    faults: ClassVar[list[BaseException]] = []

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise self.faults[0]


@dataclass
class Note:
    text: str

    def fold(self, count: int) -> int:
        return count + 1


def test_a_comparison_that_raises_is_done_without_it() -> None:
    notes = EventCodec([EventType.of(Note)])
    for fault in FAULTS:
        Odd.faults[:] = [fault]
        assert notes.encode([Note(Odd("x"))]) == notes.encode([Note("x")])
    Odd.faults[:] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        notes.encode([Note(Odd("x"))])


@dataclass
class Renamed:
    text: str

    event_version: ClassVar[int] = 2
    event_upcasters: ClassVar[dict[int, Any]] = {1: lambda payload: {"text": payload["title"]}}

    def fold(self, count: int) -> int:
        return count + 1


def test_an_upcaster_that_fails_is_named_by_the_versions_between_which_it_stands() -> None:
    codec = EventCodec([EventType.of(Renamed)])
    old = Stored("Renamed", 1, "{}")
    assert "from version 1 to the current one failed" in codec.problem(old)


def test_the_fold_of_a_ctrl_c_stops_and_keeps_what_was_folded() -> None:
    @dataclass
    class Count:
        number: int

        def fold(self, count: int) -> int:
            if self.number == 3:
                raise KeyboardInterrupt
            return count + 1

    events = EventCodec([EventType.of(Count)])
    projection: Projection[int] = Projection(LogSpec("t", events, lambda: 0))
    data = events.encode([Count(1), Count(2), Count(3)])
    head = Position("e", 3, f"{ID}-2")
    with pytest.raises(KeyboardInterrupt):
        projection.feed(Batch([Pack(ID, 1, 3, data)], head, GENESIS, None, True), GENESIS)
    assert projection.value in (0, 2)


def test_what_is_no_cell_has_a_value_that_nobody_can_read_and_no_writes() -> None:
    assert holds_of(b"garbage") is Holds.VALUE
    assert writes_of(b"garbage") == ()
    assert holds_of(CELL) is Holds.VALUE


def test_a_stored_record_is_read_again_or_says_why_not() -> None:
    stored = EVENTS.stored(PACK, 1, 0)
    assert stored == Stored("Fragile", 1, '{"number":1}')
    assert EVENTS.read(stored) == ONE
    assert EVENTS.problem(stored) == ""
    bad = Stored("Fragile", 1, '{"number":"x"}')
    assert EVENTS.read(bad) is Unreadable.UNDECODABLE
    assert "int" in EVENTS.problem(bad)


@pytest.mark.parametrize(
    "data", [b"garbage", b'["no envelope"]', b'[["Fragile",0,{"number":1}]]', b"[1,2]"], ids=range(4)
)
def test_what_via_state_did_not_write_is_kept_as_it_is(data: bytes) -> None:
    stored = EVENTS.stored(data, 1, 0)
    assert (stored.name, stored.version) == ("", 0)
    assert EVENTS.problem(stored) == "it is not a record that via_state has written"
    assert EVENTS.read(stored) is Unreadable.UNDECODABLE
    assert EVENTS.stored(b"garbage", 2, 1).payload == "", "the first one stands for all"


def test_a_value_goes_to_a_migration_as_builtins_and_comes_back_checked() -> None:
    assert VALUES.plain(ONE) == {"number": 1}
    assert VALUES.convert({"number": 1}) == ONE
    assert VALUES.decode(VALUES.encode(ONE)) == ONE
    assert VALUES.digest(ONE) == VALUES.digest(Fragile(1)) != VALUES.digest(Fragile(2))
