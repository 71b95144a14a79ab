"""What moved since the last look: the messages after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from via_state.backplanes.base import CURSOR_LIFE
from via_state.backplanes.nats.api import TICK, Message, format_time, get_many
from via_state.backplanes.nats.cells import Cells
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.connections import Connections
from via_state.backplanes.nats.log import Logs
from via_state.backplanes.nats.streams import Streams, StreamState, named
from via_state.core.records import Changes

#: Messages that one look goes through; with more, every key is looked at instead.
MOST = 50_000
PART, PART_BYTES = 1000, 8 * 1024 * 1024


class Cursor(NamedTuple):
    """How far each stream had come, and when its last message was stored. ``taken``: the server's time then."""

    log: StreamState
    cells: StreamState
    taken: datetime


class Rewritten(Exception):
    """The messages before the cursor are not those that were there."""


class Sweeper:
    """Looks through the streams for `changed`."""

    def __init__(self, connections: Connections, streams: Streams, logs: Logs, cells: Cells) -> None:
        self._connections, self._streams, self._logs, self._cells = connections, streams, logs, cells

    async def changed(self, cursor: object | None) -> Changes:
        """See `Backplane.changed`."""
        connection, subjects = await self._connections.get(), self._streams.subjects
        now = Cursor(
            await self._streams.state(connection, subjects.log_stream),
            await self._streams.state(connection, subjects.cell_stream),
            self._streams.now(),
        )
        if not isinstance(cursor, Cursor) or now.taken - cursor.taken > timedelta(seconds=CURSOR_LIFE):
            return Changes({}, {}, cursor is not None, now)
        try:
            log, moved_logs = await self._since(
                connection, subjects.log_stream, f"{subjects.prefix}.>", cursor.log, now.log
            )
            cells, moved_cells = await self._since(
                connection, subjects.cell_stream, f"{subjects.cells}>", cursor.cells, now.cells
            )
        except Rewritten:
            return Changes({}, {}, True, now)
        least: dict[str, int] = {}
        for message in moved_logs:
            try:
                least[subjects.token_in(message.subject)] = message.seq
            except ValueError as error:
                self._streams.strangers.met(named(message), str(error))
        found = {
            key: self._cells.revision(message)
            for message in moved_cells
            if (key := self._streams.key_in(message)) is not None
        }
        return Changes(await self._logs.heads(connection, least), found, False, Cursor(log, cells, now.taken))

    async def _since(
        self, connection: Connection, stream: str, pattern: str, before: StreamState, now: StreamState
    ) -> tuple[StreamState, list[Message]]:
        """The last messages of the subjects that moved, and how far that was seen. Raises `Rewritten`."""
        if now == before:
            return now, []
        if now.created != before.created or not 0 <= now.last_seq - before.last_seq <= MOST:
            raise Rewritten
        if before.last_seq:
            # Whatever came later has a higher number, unless a backup was restored and written to.
            since = format_time(before.last_time + TICK)
            later = await get_many(connection, stream, start_time=since, next_by_subj=pattern, batch=1)
            if any(message.seq <= before.last_seq for message in later.messages):
                raise Rewritten
        moved: dict[str, Message] = {}
        seen = before
        while True:
            part = await get_many(
                connection, stream, seq=seen.last_seq + 1, next_by_subj=pattern, batch=PART, max_bytes=PART_BYTES
            )
            for message in part.messages:
                moved[message.subject] = message
                seen = StreamState(now.created, message.seq, message.time)
            if not part.pending:
                break
        # The last ones may be gone again; a server that lags behind does not know of them yet.
        whole = part.last_seq >= now.last_seq
        return (now if whole and now.last_seq >= seen.last_seq else seen), list(moved.values())
