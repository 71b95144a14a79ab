"""Logs as subjects of one stream: a message for each pack, and one of its metadata.

An offset is the message's number times 1024, and the record's index in its pack. Records come in bulk from any server of the
stream; what a batch proves comes from its leader.
"""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from via_state.backplanes.nats.api import (
    TOO_LARGE,
    Message,
    Refused,
    call,
    format_time,
    get,
    get_many,
    publish,
    publish_each,
)
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.connections import Connections
from via_state.backplanes.nats.listing import Listing
from via_state.backplanes.nats.log_meta import LogMeta, log_meta_of
from via_state.backplanes.nats.log_metas import LogMetas
from via_state.backplanes.nats.streams import DUPLICATE_WINDOW, Streams, named
from via_state.backplanes.nats.subjects import COUNT, key_headers
from via_state.backplanes.nats.tokens import token_of
from via_state.core.records import GENESIS, Append, Batch, LogBounds, Pack, Position
from via_state.exceptions import (
    AppendTooLarge,
    BackplaneRefused,
    BackplaneUnavailable,
    OutcomeUnknown,
    ViaStateError,
)

#: Records that one message may hold.
PACK = 1024
#: Bytes of packs in one batch, and messages.
BATCH_BYTES, BATCH_MESSAGES = 8 * 1024 * 1024, 1000
#: Bytes of packs, and packs, from which the number of records in all that follow is told.
SAMPLE_BYTES, SAMPLE = 256 * 1024, 100
#: Records that a pack of a log is taken to hold before any was seen; logs for which a process remembers what it saw.
USUAL, REMEMBERED = 8.0, 10_000
#: Logs whose ends are asked for in one request: the server answers for a thousand subjects.
TOGETHER = 500
#: Records are discarded when the server has forgotten their ids, so that a restart makes it forget no others.
DISCARD_AGE = timedelta(seconds=DUPLICATE_WINDOW + 5)
#: The header of an answer that names the stream whose message it is.
STREAM = "Nats-Stream"
APPEND_ID, COUNTED = re.compile("[0-9a-f]{32}"), re.compile("[1-9][0-9]{0,3}")
#: The epoch of records that were dropped before anyone could say which one it was.
DROPPED = "dropped"


class Logs:
    """The event log half of the backplane."""

    def __init__(self, connections: Connections, streams: Streams) -> None:
        self._connections, self._streams, self._subjects = connections, streams, streams.subjects
        self._stream = streams.subjects.log_stream
        self._metas = LogMetas(streams.subjects)
        self._density: OrderedDict[str, float] = OrderedDict()
        self._list = Listing(streams, self._stream, self._subjects.metas)

    def _subject(self, key: str) -> str:
        return self._subjects.records + token_of(key)

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        connection = await self._connections.get()
        if key not in self._density and await self._metas.load(connection, key) is None:
            # Before the first record, so that whoever hears of that finds it.
            await self._metas.create(connection, key, uuid.uuid4().hex)
        subject, _, headers = self._message(Append(key, append_id, count, data))
        try:
            seq = await publish(connection, subject, headers, data)
        except Refused as error:
            if error.code != TOO_LARGE:
                raise
            raise _too_large(data, error) from error
        try:
            # Only now is it certain in which epoch it is: somebody may have dropped the log, or the stream.
            while (meta := await self._metas.load(connection, key)) is None:
                await self._metas.create(connection, key, uuid.uuid4().hex)
        except BackplaneUnavailable as error:  # which would say that nothing was written
            raise OutcomeUnknown(f"The append is on NATS, but not where: {error}") from error
        self._saw(key, count, 1)
        epoch = meta.epoch if seq > meta.begin else DROPPED
        return Position(epoch, seq * PACK + count - 1, f"{append_id}-{count - 1}")

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        """As `Backplane.append_many`, for appends that are checked: in three rounds, or in two where the logs are known."""
        connection = await self._connections.get()
        appends = appends[:TOGETHER]
        if new := [one.key for one in appends if one.key not in self._density]:
            # Before the first records, so that whoever hears of those finds it.
            there = await self._metas.load_many(connection, new, 0)
            absent = [key for key in new if key not in there]
            failed = set(absent) - set(await self._metas.create_many(connection, absent) if absent else ())
            appends = [one for one in appends if one.key not in failed]
        found: dict[str, Position | ViaStateError] = {}
        stored = await publish_each(connection, [self._message(one) for one in appends])
        landed: list[tuple[Append, int]] = []
        for one, seq in zip(appends, stored, strict=True):
            if isinstance(seq, int):
                landed.append((one, seq))
            elif isinstance(seq, Refused) and seq.code == TOO_LARGE:
                found[one.key] = _too_large(one.data, seq)
            else:
                assert isinstance(seq, ViaStateError), "it is one of ours"
                found[one.key] = seq
        return found | await self._placed(connection, landed)

    def _message(self, one: Append) -> tuple[str, bytes, dict[str, str]]:
        token = token_of(one.key)
        headers = {"Nats-Msg-Id": f"{one.append_id}.{token}", COUNT: str(one.count), **key_headers(one.key)}
        return self._subjects.records + token, one.data, headers

    async def _placed(
        self, connection: Connection, landed: Sequence[tuple[Append, int]]
    ) -> dict[str, Position | ViaStateError]:
        """The positions of what was stored as these messages. Only now is it certain in which epoch each is."""
        metas, reason = dict[str, LogMeta](), "the log has no metadata"
        if landed:
            try:
                keys = [one.key for one, _ in landed]
                metas = await self._metas.load_many(connection, keys, max(seq for _, seq in landed))
            except BackplaneUnavailable as error:
                reason = str(error)
        found: dict[str, Position | ViaStateError] = {}
        for one, seq in landed:
            meta = metas.get(one.key)
            if meta is None:  # asked for alone, it gets one, and is recognised
                found[one.key] = OutcomeUnknown(f"The append is on NATS, but not where: {reason}")
                continue
            self._saw(one.key, one.count, 1)
            epoch = meta.epoch if seq > meta.begin else DROPPED
            found[one.key] = Position(epoch, seq * PACK + one.count - 1, f"{one.append_id}-{one.count - 1}")
        return found

    async def read(self, key: str, after: Position, limit: int) -> Batch:
        connection, subject = await self._connections.get(), self._subject(key)
        at = after.offset // PACK
        found, ends = await self._look(connection, key, at, limit)
        under = found[0] if found and found[0].seq == at else None
        if after.offset and _record_id(under, after.offset) != after.record_id:
            # Another backplane's offset may lie before the first message, where the server takes it for a bad request.
            under = await get(connection, self._stream, seq=at) if at else None
            under = under if under is not None and under.subject == subject else None
            ends = None
        proven = ends is not None
        while True:
            # Observed no earlier than the packs and the record under the cursor, and by the leader.
            meta, last = ends or await self._ends(connection, key)
            if meta is None:
                return Batch([], GENESIS, GENESIS, None, True)
            found = [message for message in found if message.seq > meta.begin]
            if not proven and found and found[-1].seq * PACK > meta.floor.offset:
                end = found[-1]
                proof = last if last and last.seq == end.seq else await get(connection, self._stream, seq=end.seq)
                if not _same(end, proof):
                    raise BackplaneUnavailable(f"A server of the stream {self._stream!r} has another history.")
            start, head = max(after.offset, meta.floor.offset), _head(meta, last)
            packs = [pack for pack in map(_pack, found) if pack.last > start]
            if packs or head.position.offset <= start:
                break
            # What came was below the floor, or from a server that lags behind.
            found, ends, proven = await self._following(connection, subject, start, meta), None, True
        self._saw(key, sum(pack.count for pack in packs), len(packs))
        seen = meta.floor.offset < after.offset and at > meta.begin
        cursor_id = _record_id(under, after.offset) if seen else None
        return Batch(_about(packs, limit), head.position, head.floor, cursor_id, True)

    async def _look(
        self, connection: Connection, key: str, seq: int, limit: int
    ) -> tuple[list[Message], tuple[LogMeta, Message | None] | None]:
        """About ``limit`` records from a message on, and the message, from any server.

        From the one that has the stream alone also what `_ends` gives, in the same round: it answers in the order of the requests, so
        that was observed no earlier. None where that is not proven.
        """
        if self._stream not in self._streams.alone:
            return await self._bulk(connection, key, seq, limit), None
        subjects = [self._metas.subject(key), self._subject(key)]
        found, seen = await asyncio.gather(
            self._bulk(connection, key, seq, limit), get_many(connection, self._stream, multi_last=subjects)
        )
        messages = {message.subject: message for message in seen.messages}
        meta = messages.get(subjects[0])
        # Without its end, which has a number, the answer broke off at a message that went meanwhile. A mirror may answer instead, and says so.
        if (
            meta is None
            or not seen.last_seq
            or any(one.headers.get(STREAM) != self._stream for one in (*found, *seen.messages))
        ):
            return found, None
        return found, (log_meta_of(meta), messages.get(subjects[1]))

    async def _ends(self, connection: Connection, key: str) -> tuple[LogMeta | None, Message | None]:
        """The metadata of a log and its last message, from the leader."""
        return await asyncio.gather(
            self._metas.load(connection, key),
            get(connection, self._stream, last_by_subj=self._subject(key)),
        )

    async def _bulk(self, connection: Connection, key: str, seq: int, limit: int) -> list[Message]:
        """About ``limit`` records from a message on, and the message, from any server."""
        wanted = math.ceil(max(limit, 1) / self._density.get(key, USUAL)) + 1
        found = await get_many(
            connection,
            self._stream,
            seq=max(seq, 1),
            next_by_subj=self._subject(key),
            batch=min(wanted, BATCH_MESSAGES),
            max_bytes=BATCH_BYTES,
        )
        return found.messages

    async def _following(self, connection: Connection, subject: str, offset: int, meta: LogMeta) -> list[Message]:
        """The pack that holds the record after an offset, from the leader."""
        seq = max(offset // PACK, meta.begin + 1)
        while (found := await get(connection, self._stream, seq=seq, next_by_subj=subject)) is not None:
            if _pack(found).last > offset:
                return [found]
            seq = found.seq + 1
        return []

    async def head(self, key: str) -> LogBounds:
        return await self._head(await self._connections.get(), key)

    async def count(self, key: str, after: int, through: int) -> int:
        """Records between two offsets: exactly while there are few, and else by what the first packs hold."""
        connection = await self._connections.get()
        if after >= through:
            return 0
        found = await get_many(
            connection,
            self._stream,
            seq=max(after // PACK, 1),
            next_by_subj=self._subject(key),
            batch=SAMPLE,
            max_bytes=SAMPLE_BYTES,
        )
        packs = [pack for pack in map(_pack, found.messages) if after < pack.last and pack.first <= through]
        records = sum(min(pack.last, through) - max(pack.first - 1, after) for pack in packs)
        if packs and packs[-1].last < through:
            records += round(found.pending * records / len(packs))
        return max(records, 1)  # a server that lags behind may know of none

    async def _head(self, connection: Connection, key: str) -> LogBounds:
        # Not at once: a record that was dropped in between must not be taken for one after newer metadata.
        last = await get(connection, self._stream, last_by_subj=self._subject(key))
        meta = await self._metas.load(connection, key)
        return LogBounds(GENESIS, GENESIS) if meta is None else _head(meta, last)

    async def heads(self, connection: Connection, least: Mapping[str, int]) -> dict[str, LogBounds]:
        """The ends of logs by key. ``least``: tokens, with the message that was seen of each: a head is not before it."""
        found: dict[str, LogBounds] = {}
        subjects, tokens = self._subjects, [*least]
        for first in range(0, len(tokens), TOGETHER):
            some = tokens[first : first + TOGETHER]
            wanted = [before + token for token in some for before in (subjects.metas, subjects.records)]
            answer = await get_many(connection, self._stream, multi_last=wanted)
            messages = {message.subject: message for message in answer.messages}
            for token in some:
                stored, last = messages.get(subjects.metas + token), messages.get(subjects.records + token)
                if stored is None or (key := self._streams.key_in(stored)) is None:
                    continue
                try:
                    meta = log_meta_of(stored)
                except BackplaneRefused as error:  # of this log only
                    self._streams.strangers.met(named(stored), str(error))
                    continue
                latest = max(stored.seq, 0 if last is None else last.seq)
                behind = latest < least[token]  # a server that lags behind answered
                found[key] = await self._head(connection, key) if behind else _head(meta, last)
        return found

    async def drop(self, key: str, last: Position | None) -> None:
        connection = await self._connections.get()
        through = None if last is None else last.offset // PACK  # the message of its pack
        while (meta := await self._metas.load(connection, key)) is not None:
            if last is not None and (last.epoch != meta.epoch or not last.offset):
                return
            begin = await self._metas.begin_again(connection, key, meta, uuid.uuid4().hex, through)
            if begin is not None:
                await self._purge(connection, key, begin + 1)
                return

    async def page(self, after: str, limit: int, begin: str) -> dict[str, LogBounds]:
        connection = await self._connections.get()
        async for tokens in self._list.after(connection, after, limit, begin):
            heads = await self.heads(connection, dict.fromkeys(tokens, 0))
            if written := {
                key: head for key, head in heads.items() if head.position.offset and key.startswith(begin)
            }:
                return written
        return {}

    async def compact(self, key: str, through: int, epoch: str | None) -> int:
        connection, subject = await self._connections.get(), self._subject(key)
        while True:
            last = await get(connection, self._stream, last_by_subj=subject)
            meta = await self._metas.load(connection, key)
            if meta is None:
                return 0
            floor = meta.floor
            if epoch not in (None, meta.epoch):
                return floor.offset
            wanted = min(through, _head(meta, last).position.offset)
            if wanted <= floor.offset or wanted // PACK <= meta.begin:
                break
            at = await get(connection, self._stream, seq=wanted // PACK)
            record = _record_id(at, wanted) if at is not None and at.subject == subject else None
            if record is None:  # there is no such record
                break
            floor = Position(meta.epoch, wanted, record)
            if await self._metas.raise_floor(connection, key, meta, floor):
                break
        await self._discard(connection, key, meta.begin, floor)
        return floor.offset

    async def _discard(self, connection: Connection, key: str, begin: int, floor: Position) -> None:
        """Free the space below the floor, and what a drop may have left."""
        subject, keep = self._subject(key), max(floor.offset // PACK, begin + 1)
        at = await get(connection, self._stream, seq=keep)
        if at is not None and at.subject == subject and _pack(at).last <= floor.offset:
            keep += 1
        since = format_time(self._streams.now() - DISCARD_AGE)
        young = await get_many(connection, self._stream, start_time=since, next_by_subj=subject, batch=1)
        keep = min([keep, *(message.seq for message in young.messages)])
        first = await get(connection, self._stream, seq=1, next_by_subj=subject)
        if first is not None and first.seq < keep:
            await self._purge(connection, key, keep)

    async def _purge(self, connection: Connection, key: str, keep: int) -> None:
        body = {"filter": self._subject(key), "seq": keep}
        await call(connection, f"STREAM.PURGE.{self._stream}", body, write=True)

    def _saw(self, key: str, records: int, packs: int) -> None:
        """Remember how many records the packs of a log hold."""
        if packs:
            before = self._density.pop(key, records / packs)
            self._density[key] = (before + records / packs) / 2
            if len(self._density) > REMEMBERED:
                self._density.popitem(last=False)


def _too_large(data: bytes, error: Refused) -> AppendTooLarge:
    """The stream was given another limit since this process looked."""
    too_large = AppendTooLarge(f"An append of {len(data)} bytes is refused for good. {error}")
    too_large.__cause__ = error
    return too_large


def _pack(message: Message) -> Pack:
    append_id = message.headers.get("Nats-Msg-Id", "").partition(".")[0]
    count = message.headers.get(COUNT, "")
    if not (APPEND_ID.fullmatch(append_id) and COUNTED.fullmatch(count) and int(count) <= PACK):
        # Not from us: one record that nobody can decode, which is counted and passed as such.
        append_id, count = f"{message.seq:032x}", "1"
    return Pack(append_id, message.seq * PACK, int(count), message.data)


def _record_id(message: Message | None, offset: int) -> str | None:
    """Id of the record at an offset, if the message there holds one."""
    if message is None or message.seq != offset // PACK:
        return None
    pack = _pack(message)
    return pack.record_id(offset) if offset <= pack.last else None


def _same(message: Message, other: Message | None) -> bool:
    return other is not None and (message.subject, _pack(message).id) == (other.subject, _pack(other).id)


def _head(meta: LogMeta, last: Message | None) -> LogBounds:
    if last is None or last.seq <= meta.begin:
        return LogBounds(meta.floor, meta.floor)
    pack = _pack(last)
    return LogBounds(Position(meta.epoch, pack.last, pack.record_id(pack.last)), meta.floor)


def _about(packs: list[Pack], limit: int) -> list[Pack]:
    """The first packs, with ``limit`` records at most, but one pack at least."""
    records = 0
    for index, pack in enumerate(packs):
        records += pack.count
        if index and records > limit:
            return packs[:index]
    return packs
