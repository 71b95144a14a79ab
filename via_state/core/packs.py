"""Packs cut smaller, for a backplane that takes less at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from via_state.core.records import Pack

_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])


def slices(pack: Pack, after: int, most_records: int) -> Iterator[Pack]:
    """The records after an offset, in packs of at most ``most_records``, made when they are asked for.

    They are for reading: their ids are not of their own, so ask the whole pack for a ``record_id``. A pack whose records can't
    be parted comes as it is.
    """
    if pack.count <= most_records:
        yield pack
        return
    records = _records(pack)
    if len(records) != pack.count:
        yield pack
        return
    for first in range(max(0, after + 1 - pack.first), pack.count, most_records):
        some = records[first : first + most_records]
        yield Pack(pack.id, pack.first + first, len(some), b"[" + b",".join(some) + b"]")


def _records(pack: Pack) -> list[msgspec.Raw]:
    try:
        return _RECORDS.decode(pack.data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def pieces(pack: Pack, most_records: int, most_bytes: int) -> Iterator[Pack]:
    """The pack, or smaller ones with its records. The first keeps its id, so its records keep theirs.

    Raises ValueError when a single record is too large, or the data has no records in it that could be parted.
    """
    if pack.count <= most_records and len(pack.data) <= most_bytes:
        yield pack
        return
    records = [bytes(record) for record in _records(pack)]
    if len(records) != pack.count:
        raise ValueError(f"the append {pack.id} is too large, and can't be parted")
    first = 0
    while first < pack.count:
        count, size = 0, 2
        for record in records[first : first + most_records]:
            size += len(record) + 1
            if size > most_bytes and count:
                break
            count += 1
        data = b"[" + b",".join(records[first : first + count]) + b"]"
        if len(data) > most_bytes:
            raise ValueError(f"the record {pack.id}-{first} is too large: {len(data):,} bytes")
        yield Pack(piece_id(pack.id, first), pack.first + first, count, data)
        first += count


def piece_id(append_id: str, first: int) -> str:
    """The id of the piece that begins with the record at this index: always the same, so that it can be sent again."""
    if not first:
        return append_id
    return hashlib.blake2b(f"{append_id}-{first}".encode(), digest_size=16).hexdigest()
