"""What is kept beside the event in a record. Bytes of both ages are written down here: each is read by the code of the other."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec, Unreadable, join_packs
from via_state.core.metadata import NOTHING, Metadata, all_metadata, as_text, from_text, metadata_of
from via_state.core.packs import slices
from via_state.core.records import Pack


@dataclass(frozen=True)
class Paid:
    amount: int

    def fold(self, total: int) -> int:
        return total + self.amount


CODEC = EventCodec([EventType.of(Paid)])
#: As code wrote it that knew nothing of metadata.
OLD = b'[["Paid",1,{"amount":3}],["Paid",1,{"amount":4}]]'
#: As this code writes it.
NEW = b'[["Paid",1,{"amount":3},{"t":1764105600000}],["Paid",1,{"amount":4},{"t":1764105600000}]]'
#: As later code may write it.
LATER = b'[["Paid",1,{"amount":3},{"t":1764105600000,"u":"7","x":{"y":[1]}},5],["Paid",1,{"amount":4},{}]]'
EVENTS = [Paid(3), Paid(4)]


def test_records_are_written_with_the_time_of_their_append() -> None:
    assert CODEC.encode(EVENTS, Metadata(time=1764105600000)) == NEW
    assert CODEC.encode(EVENTS) == OLD


@pytest.mark.parametrize("data", [OLD, NEW, LATER])
def test_events_are_read_whatever_is_beside_them(data: bytes) -> None:
    assert CODEC.decode(data, 2).events == EVENTS
    assert CODEC.decode(data, 2).clean
    assert CODEC.stored(data, 2, 1) == ("Paid", 1, '{"amount":4}')


def test_records_that_are_decoded_one_by_one_are_read_as_well() -> None:
    data = join_packs([NEW, b'[["Paid",2,{},{"t":1}],["Gone",1,{},{"t":1}],["Paid",1,{"amount":"x"},{"t":1}]]'])
    found = CODEC.decode(data, 5).events
    assert found == [*EVENTS, Unreadable.NEWER, Unreadable.UNKNOWN, Unreadable.UNDECODABLE]


def test_metadata_is_read_from_any_record() -> None:
    assert [metadata_of(NEW, 2, index).time for index in (0, 1)] == [1764105600000] * 2
    assert [metadata_of(LATER, 2, index).time for index in (0, 1)] == [1764105600000, 0]
    (_, second) = slices(Pack("a", 1, 2, NEW), 0, 1)
    assert metadata_of(second.data, 1, 0).time == 1764105600000


@pytest.mark.parametrize("data", [OLD, b"\xff", b"{}", b'[["Paid",1,{},{"t":"soon"}],[]]', b"[" * 5000])
def test_what_has_no_metadata_has_none(data: bytes) -> None:
    assert metadata_of(data, 2, 0) == NOTHING


def test_metadata_of_every_record_is_told_apart_or_is_nothing() -> None:
    assert [one.time for one in all_metadata(LATER, 2)] == [1764105600000, 0]
    assert all_metadata(b"garbage", 2) == [NOTHING, NOTHING]


def test_a_database_keeps_it_as_text_and_garbage_is_nothing() -> None:
    made = Metadata(time=7, actor="ann")
    assert from_text(as_text(made)) == made
    assert from_text("garbage") == NOTHING
