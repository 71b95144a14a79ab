"""What a log is made of: positions, packs of records, and the answers a backplane gives about them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Position(NamedTuple):
    """A place in one log: where a projection, a snapshot, an event handler or a tab stands.

    ``offset`` orders the records of one ``epoch`` and means nothing in another. ``record_id`` is the id of
    the record *at* ``offset``: comparing it proves that history was not rewritten under the reader.
    """

    epoch: str
    offset: int
    record_id: str


#: Before the first record. It belongs to every history, because nothing was read yet.
GENESIS = Position("", 0, "")


class AppendedAfter(Position):
    """The position of an append's last record, and the one that its first record came ``after``: of the record that was the log's
    last one when the append was made, by the same evidence; ``GENESIS`` where there was none.
    """

    after: Position

    def __new__(cls, epoch: str, offset: int, record_id: str, after: Position) -> AppendedAfter:
        self = super().__new__(cls, epoch, offset, record_id)
        self.after = after
        return self


class Pack(msgspec.Struct, frozen=True, gc=False):
    """The records of one append, stored together (Kafka calls this a record batch).

    ``id`` is the append id: 32 hexadecimal digits, chosen by the writer, the same on every retry.
    ``first`` is the offset of the first of ``count`` records; the others follow densely.
    ``data`` is opaque to the backplane.
    """

    id: str
    first: int
    count: int
    data: bytes

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return self.first + self.count - 1

    def record_id(self, offset: int) -> str:
        """Id of the record at ``offset``; it stays the same when a log moves to another backplane."""
        return f"{self.id}-{offset - self.first}"


class LogBounds(NamedTuple):
    """The two ends of a log. Both are ``GENESIS`` for a log that was never written.

    ``position`` is the last record, ``floor`` the highest one that was discarded (offset 0 when none was).
    """

    position: Position
    floor: Position


class Batch(NamedTuple):
    """What follows a cursor, observed at one moment.

    ``packs`` come in order and without gaps; the first one may begin at or before the cursor, when the cursor
    stands inside it: the reader drops what it already has. Empty at the head.
    ``head`` and ``floor`` were observed no earlier than the packs.
    ``cursor_id`` is the id of the record that the log holds under the cursor's offset, or None where it holds
    none (discarded, or beyond the head).
    ``authoritative`` is False when a replica may have answered: strange evidence then needs a second read.
    ``hole`` is above 0 when records are gone that no floor stands for: the one under the cursor or the one after it,
    and all up to this offset. There are no packs then. Only where offsets have no gaps can that be told.
    """

    packs: list[Pack]
    head: Position
    floor: Position
    cursor_id: str | None
    authoritative: bool
    hole: int = 0

    def proves(self, position: Position) -> bool:
        """Whether the log still holds the record at the position that the batch was read after."""
        if self.head.epoch != position.epoch or self.head.offset < position.offset:
            return False
        found = self.floor.record_id if position.offset == self.floor.offset else self.cursor_id
        return found == position.record_id

    def beyond(self, position: Position) -> Batch | None:
        """What follows a record that the batch brings, as if it had been read after that one; None where it does not bring it as the last
        one of a pack.
        """
        for index, pack in enumerate(self.packs):
            if pack.last == position.offset:
                cursor_id = pack.record_id(pack.last)
                if (self.head.epoch, cursor_id) == (position.epoch, position.record_id):
                    return self._replace(packs=self.packs[index + 1 :], cursor_id=cursor_id)
        return None


class Append(msgspec.Struct, frozen=True, gc=False):
    """What is appended to one log: ``count`` records, packed in ``data``, under an ``append_id`` that stays the same on every retry."""

    key: str
    append_id: str
    count: int
    data: bytes


class Revision(NamedTuple):
    """Which write a cell holds.

    ``number`` is at least 1, and rises from one write of a cell to the next while its store keeps what it acknowledged.
    One that lost its last writes, or was restored, gives numbers out again; never a ``write_id``, which is random.
    """

    number: int
    write_id: str


class Cell(NamedTuple):
    """A durable current value.

    ``age`` is for how many seconds it has been there, ``ttl`` for how many it still counts (None: for ever), both by the
    store's clock at the time of the answer.
    """

    data: bytes
    revision: Revision
    age: float
    ttl: float | None


class Changes(NamedTuple):
    """What moved since a cursor: may name keys that did not move, never omits one that did.

    ``logs`` maps keys to their heads, ``cells`` keys to their revisions (None for an absent cell).
    ``everything`` says that the cursor proved nothing any more (another server, a restored one): look at every key.
    ``cursor`` is opaque; pass it to the next call.
    """

    logs: dict[str, LogBounds]
    cells: dict[str, Revision | None]
    everything: bool
    cursor: object
