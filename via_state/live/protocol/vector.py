"""Position vectors: how far the state was that a node shows, and how two of them compare.

The client script has the same `compare`; ``tests/live/vectors.json`` is run by both.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from via_state.core.records import Position, Revision

Short = Annotated[str, msgspec.Meta(max_length=16)]
#: What JavaScript counts exactly.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Place(NamedTuple):
    """A `Position` or the `Revision` of a cell, as pages and frames carry it: six characters stand for epoch and record id.

    The epoch of a cell is empty. Offset 0 in no epoch is the beginning of every history.
    """

    epoch: Short
    offset: Count
    record: Short

    @classmethod
    def of_log(cls, position: Position) -> Place:
        return cls(_digest(position.epoch), position.offset, _digest(position.record_id))

    @classmethod
    def of_cell(cls, revision: Revision | None) -> Place:
        """None: the store has no value."""
        return ABSENT if revision is None else cls("", revision.number, _digest(revision.write_id))


#: Of a cell that has no value: it may never have had one, or have lost it, so that nothing is before or after it.
_NONE = "-"
ABSENT = Place("", 0, _NONE)

#: The key of each state that a render read → where it was. A key of a session or a user is written as ``~`` and its name.
Vector: TypeAlias = Mapping[str, Place]


class Order(IntEnum):
    """What is shown, seen from here. Where keys differ, the highest counts."""

    SAME = 0
    #: Shown is an older one of the same history.
    BEHIND = 1
    #: Nothing says which is newer: another epoch, another record at the same offset, or other keys. The whole is sent.
    OTHER = 2
    #: Shown is a newer one of the same history. It must not be replaced by what is here.
    AHEAD = 3


def order(shown: Place, here: Place) -> Order:
    """How the place that is shown stands to the one here."""
    begun = (shown.epoch or shown.offset) and (here.epoch or here.offset)
    if (begun and shown.epoch != here.epoch) or (shown.record == _NONE) != (here.record == _NONE):
        return Order.OTHER
    if shown.offset != here.offset:
        return Order.BEHIND if shown.offset < here.offset else Order.AHEAD
    return Order.SAME if shown.record == here.record else Order.OTHER


def compare(shown: Vector, here: Vector) -> Order:
    """How what a tab shows stands to what is here. A key that only one of them has makes them `Order.OTHER`."""
    worst = Order.SAME if shown.keys() == here.keys() else Order.OTHER
    for key in shown.keys() & here.keys():
        worst = max(worst, order(shown[key], here[key]))
    return worst


def covers(shown: Vector, wanted: Vector) -> bool:
    """Whether what is shown holds all that is wanted: every key of it, in the same epoch, as far or farther."""
    return all(
        key in shown and shown[key].epoch == place.epoch and shown[key].offset >= place.offset
        for key, place in wanted.items()
    )


def dumps(vector: Vector) -> str:
    """The vector as pages carry it: compact JSON, the same for equal vectors."""
    return msgspec.json.encode({key: vector[key] for key in sorted(vector)}).decode()


def _digest(text: str) -> str:
    """Six characters that stand for an epoch or an id; of the empty text the empty one."""
    if not text:
        return ""
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=6).digest()).decode()[:6]
