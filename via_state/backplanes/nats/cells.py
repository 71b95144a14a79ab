"""Cells as keys of a bucket: a revision is the number of the message that set it, and the id that it carries."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta

from via_state.backplanes.base import conflict
from via_state.backplanes.nats.api import (
    WRONG_LAST_SEQUENCE,
    Found,
    Message,
    Refused,
    call,
    get,
    get_many,
    publish,
)
from via_state.backplanes.nats.connection import JETSTREAM, Connection
from via_state.backplanes.nats.connections import Connections
from via_state.backplanes.nats.listing import Listing
from via_state.backplanes.nats.streams import Streams, named
from via_state.backplanes.nats.subjects import EXPIRES_IN, WRITE_ID, key_headers
from via_state.backplanes.nats.tokens import token_of
from via_state.core.records import Cell, Revision
from via_state.runtime.rng import rng

#: Of a message by which a tool for buckets deleted a key; we delete none.
OPERATION = "KV-Operation"
#: Cells that are asked for at the same time.
TOGETHER = 64
#: How long such a message is kept, for the sweeps of pods that were away.
KEEP_DELETED = timedelta(hours=24)
#: Bytes, and messages, of the part of the bucket that `prune` looks through at once.
PART_BYTES, PART = 8 * 1024 * 1024, 1000


class Cells:
    """The store half of the backplane. What decides is read from the leader."""

    def __init__(self, connections: Connections, streams: Streams) -> None:
        self._connections, self._streams, self._subjects = connections, streams, streams.subjects
        self._stream = streams.subjects.cell_stream
        self._look_at = 0  # where `prune` continues; 0 before the first time
        self._list = Listing(streams, self._stream, self._subjects.cells)

    def _subject(self, key: str) -> str:
        return self._subjects.cells + token_of(key)

    def _place(self, connection: Connection, key: str) -> str:
        """Where a cell is published: servers of another domain let a bucket's subjects pass as parts of its API only."""
        return self._subject(key) if connection.api == JETSTREAM else f"{connection.api}{self._subject(key)}"

    async def load_many(self, keys: list[str]) -> dict[str, Cell]:
        connection, found = await self._connections.get(), dict[str, Cell]()
        for first in range(0, len(keys), TOGETHER):
            some = keys[first : first + TOGETHER]
            messages = await asyncio.gather(*(self._last(connection, key) for key in some))
            for key, message in zip(some, messages, strict=True):
                if (cell := self._held(message)) is not None:
                    found[key] = cell
        return found

    async def page(self, after: str, limit: int, begin: str) -> dict[str, Cell]:
        connection = await self._connections.get()
        async for tokens in self._list.after(connection, after, limit, begin):
            some = (get(connection, self._stream, last_by_subj=self._subjects.cells + token) for token in tokens)
            found: dict[str, Cell] = {}
            for message in await asyncio.gather(*some):
                if message is None or not self.live(message):
                    continue
                key = self._streams.key_in(message)
                if key is not None and key.startswith(begin):
                    found[key] = self._cell(message)
            if found:
                return found
        return {}

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None) -> Revision:
        connection = await self._connections.get()
        last = await self._last(connection, key)
        found = None if last is None else self.revision(last)
        # The server compares numbers only. What is restored ends the connection, over which nothing is sent then.
        if found != expected:
            raise conflict(key, expected, self._held(last))
        write_id, at = secrets.token_hex(8), 0 if last is None else last.seq
        headers = {"Nats-Expected-Last-Subject-Sequence": str(at), WRITE_ID: write_id, **key_headers(key)}
        if ttl is not None:
            headers[EXPIRES_IN] = repr(float(ttl))
        try:
            return Revision(await publish(connection, self._place(connection, key), headers, data), write_id)
        except Refused as error:
            if error.code in WRONG_LAST_SEQUENCE:
                raise conflict(key, expected, self._held(await self._last(connection, key))) from error
            raise

    async def prune(self, limit: int) -> int:
        connection, pruned = await self._connections.get(), 0
        for message in await self._next_part(connection):
            if self.live(message):
                continue
            expired = OPERATION not in message.headers
            if not expired and self._streams.now() - message.time < KEEP_DELETED:
                continue
            # What was written in the meantime has a higher number, and stays.
            body = {"filter": message.subject, "seq": message.seq + 1}
            gone = await call(connection, f"STREAM.PURGE.{self._stream}", body, write=True)
            pruned += expired and gone["purged"] > 0
            if pruned == limit:
                self._look_at = message.seq + 1
                break
        return pruned

    async def _next_part(self, connection: Connection) -> list[Message]:
        """A thousand messages of the bucket at most, from where the last call ended; after the end, its beginning."""
        if not self._look_at:  # processes that start together look at different parts
            self._look_at = rng.randint(1, (await self._streams.state(connection, self._stream)).last_seq + 1)
        begin, found = self._look_at, await self._part(connection, self._look_at, PART)
        messages = found.messages
        if not found.pending and len(messages) < PART:
            found = await self._part(connection, 1, PART - len(messages))
            messages = [*messages, *(message for message in found.messages if message.seq < begin)]
        self._look_at = found.messages[-1].seq + 1 if found.messages else 1
        return messages

    async def _part(self, connection: Connection, seq: int, batch: int) -> Found:
        pattern = f"{self._subjects.cells}>"
        return await get_many(
            connection, self._stream, seq=seq, next_by_subj=pattern, batch=batch, max_bytes=PART_BYTES
        )

    def _held(self, message: Message | None) -> Cell | None:
        """What a cell's last message says: None where it is absent."""
        return None if message is None or not self.live(message) else self._cell(message)

    def _cell(self, message: Message) -> Cell:
        now, expires = self._streams.now(), self._expires(message)
        ttl = None if expires is None else (expires - now).total_seconds()
        age = max(0.0, (now - message.time).total_seconds())
        return Cell(message.data, _revision(message), age, ttl)

    def revision(self, message: Message) -> Revision | None:
        """Of a cell, by its last message; None where it is absent."""
        return _revision(message) if self.live(message) else None

    def live(self, message: Message) -> bool:
        """Whether a cell's last message is its value: neither a deletion nor expired."""
        if OPERATION in message.headers:
            return False
        expires = self._expires(message)
        return expires is None or self._streams.now() < expires

    def _expires(self, message: Message) -> datetime | None:
        seconds = message.headers.get(EXPIRES_IN)
        try:
            return None if seconds is None else message.time + timedelta(seconds=float(seconds))
        except (ValueError, OverflowError):  # not ours, so it is kept
            self._streams.strangers.met(named(message), f"its {EXPIRES_IN} is not a number of seconds")
            return None

    async def _last(self, connection: Connection, key: str) -> Message | None:
        return await get(connection, self._stream, last_by_subj=self._subject(key))


def _revision(message: Message) -> Revision:
    return Revision(message.seq, message.headers.get(WRITE_ID, ""))
