"""The metadata of all logs: read from the leader, or proven to be as new, and replaced by compare-and-swap."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import msgspec

from via_state.backplanes.nats.api import (
    WRONG_LAST_SEQUENCE,
    Refused,
    call,
    get,
    get_many,
    publish,
    publish_each,
)
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.known_metas import KnownMetas, Question
from via_state.backplanes.nats.log_meta import LogMeta, StoredMeta, log_meta_of
from via_state.backplanes.nats.subjects import Subjects, key_headers
from via_state.backplanes.nats.tokens import token_of
from via_state.core.records import Position


class LogMetas:
    """For one process, which remembers what it has read."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects
        self._known = KnownMetas()

    def subject(self, key: str) -> str:
        return self._subjects.metas + token_of(key)

    async def load(self, connection: Connection, key: str) -> LogMeta | None:
        """None for a log that was never written."""
        message = await get(connection, self._subjects.log_stream, last_by_subj=self.subject(key))
        return None if message is None else log_meta_of(message)

    async def create(self, connection: Connection, key: str, epoch: str) -> None:
        """For a log that has none. Somebody else's is as good."""
        await self._replace(connection, key, 0, StoredMeta(epoch, 0))

    async def load_many(self, connection: Connection, keys: Sequence[str], seq: int) -> dict[str, LogMeta]:
        """Those of several keys, from a server that has the message ``seq``, or from the leader; without what can't be read."""
        last, metas = await self._ask(connection, self._known.question(keys))
        if metas is None:
            last, metas = await self._ask(connection, self._known.question(keys, all_of_it=True))
        if metas is None or last < seq:  # a server that lags behind answered
            loaded = await asyncio.gather(*(self.load(connection, key) for key in keys))
            metas = {key: meta for key, meta in zip(keys, loaded, strict=True) if meta is not None}
        return metas

    async def _ask(self, connection: Connection, question: Question) -> tuple[int, dict[str, LogMeta] | None]:
        """The last message that the server has, and what it says."""
        subjects = {self.subject(key): key for key in question.keys}
        found = await get_many(
            connection, self._subjects.log_stream, multi_last=list(subjects), seq=question.since
        )
        if not found.last_seq:  # it has none of it, or the answer broke off
            return 0, None if question.since else {}
        return found.last_seq, self._known.learn(
            question, {subjects[message.subject]: message for message in found.messages}
        )

    async def create_many(self, connection: Connection, keys: Sequence[str]) -> list[str]:
        """As `create`, for several. Gives those that have metadata now."""
        new = [StoredMeta(uuid.uuid4().hex, 0) for _ in keys]
        messages = [
            (
                self.subject(key),
                msgspec.json.encode(stored),
                {"Nats-Expected-Last-Subject-Sequence": "0", **key_headers(key)},
            )
            for key, stored in zip(keys, new, strict=True)
        ]
        there: list[str] = []
        for key, stored, seq in zip(keys, new, await publish_each(connection, messages), strict=True):
            if isinstance(seq, int):
                self._known.made(key, LogMeta(stored.epoch, 0, Position(stored.epoch, 0, ""), seq))
            elif not _is_there(seq):
                continue
            there.append(key)
        return there

    async def begin_again(
        self, connection: Connection, key: str, meta: LogMeta, epoch: str, through: int | None = None
    ) -> int | None:
        """Put all records so far out of the log, or those up to the message ``through``.

        Returns the message up to which they are out; None if ``meta`` is not the current one.
        """
        made = await self._replace(connection, key, meta.seq, StoredMeta(epoch, through))
        return made if made is None or through is None else through

    async def raise_floor(self, connection: Connection, key: str, meta: LogMeta, floor: Position) -> int | None:
        """As `begin_again`."""
        stored = StoredMeta(meta.epoch, meta.begin, floor.offset, floor.record_id)
        return await self._replace(connection, key, meta.seq, stored)

    async def _replace(self, connection: Connection, key: str, seq: int, stored: StoredMeta) -> int | None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(seq), **key_headers(key)}
        try:
            found = await publish(connection, self.subject(key), headers, msgspec.json.encode(stored))
        except Refused as error:
            if error.code in WRONG_LAST_SEQUENCE:
                return None
            raise
        if seq:
            body = {"filter": self.subject(key), "keep": 1}
            await call(connection, f"STREAM.PURGE.{self._subjects.log_stream}", body, write=True)
        return found


def _is_there(error: Exception) -> bool:
    return isinstance(error, Refused) and error.code in WRONG_LAST_SEQUENCE
