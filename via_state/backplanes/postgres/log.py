"""Logs as rows: a head row for each log, whose lock orders its appends, and a row for each pack."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import errors

from via_state.backplanes.postgres.connections import Connection, Connections
from via_state.core.records import GENESIS, Batch, Head, Pack, Position

#: Bytes of packs in one batch, beyond the first.
BATCH_BYTES = 8 * 1024 * 1024
#: Rows deleted in one statement of a compaction.
DELETE_ROWS = 5000

APPEND = """
WITH head AS (
    UPDATE via_state_log
    SET last = last + %(count)s, last_append = %(id)s, last_index = %(count)s - 1, xid = pg_current_xact_id()
    WHERE prefix = %(prefix)s AND key = %(key)s
    RETURNING id, epoch, last
), pack AS (
    INSERT INTO via_state_pack (log_id, first, last, append_id, data)
    SELECT id, last - %(count)s + 1, last, %(id)s, %(data)s FROM head
)
SELECT epoch, last FROM head
"""

CREATE = """
INSERT INTO via_state_log (prefix, key, epoch, last, last_index, floor, floor_record, xid)
VALUES (%(prefix)s, %(key)s, gen_random_uuid(), 0, -1, 0, '', pg_current_xact_id())
ON CONFLICT DO NOTHING
"""

APPENDED_BEFORE = """
SELECT log.epoch, pack.last, pack.first
FROM via_state_log log JOIN via_state_pack pack ON pack.log_id = log.id
WHERE log.prefix = %(prefix)s AND log.key = %(key)s AND pack.append_id = %(id)s
"""

HEAD_COLUMNS = "epoch, last, last_append, last_index, floor, floor_record"

# One statement, so that head, floor, proof and packs are of one moment. `under` is the pack that holds the record at
# the cursor (or at the floor, if that is ahead); the packs wanted begin with it when it reaches beyond.
READ = f"""
SELECT log.*, under.first, under.last, under.append_id, pack.first, pack.last, pack.append_id, pack.data
FROM (
    SELECT id, {HEAD_COLUMNS}, greatest(floor, %(after)s) AS start
    FROM via_state_log WHERE prefix = %(prefix)s AND key = %(key)s
) log
LEFT JOIN LATERAL (
    SELECT first, last, append_id FROM via_state_pack
    WHERE log_id = log.id AND first <= log.start
    ORDER BY first DESC LIMIT 1
) under ON true
LEFT JOIN LATERAL (
    SELECT first, last, append_id, data FROM (
        SELECT *, sum(octet_length(data)) OVER (ORDER BY first) - octet_length(data) AS before
        FROM via_state_pack
        WHERE log_id = log.id
          AND first >= CASE WHEN under.last > log.start THEN under.first ELSE log.start + 1 END
          AND first <= log.start + %(limit)s
    ) counted
    WHERE before < %(bytes)s
) pack ON true
ORDER BY pack.first
"""

HEAD = f"SELECT {HEAD_COLUMNS} FROM via_state_log WHERE prefix = %(prefix)s AND key = %(key)s"

NEW_FLOOR = """
SELECT log.id, log.epoch, log.floor, least(%(through)s, log.last), pack.first, pack.append_id
FROM via_state_log log
LEFT JOIN LATERAL (
    SELECT first, append_id FROM via_state_pack
    WHERE log_id = log.id AND first <= least(%(through)s, log.last)
    ORDER BY first DESC LIMIT 1
) pack ON true
WHERE log.prefix = %(prefix)s AND log.key = %(key)s
"""

RAISE_FLOOR = """
UPDATE via_state_log SET floor = %(floor)s, floor_record = %(record)s, xid = pg_current_xact_id()
WHERE id = %(id)s AND epoch = %(epoch)s AND floor < %(floor)s
"""

# Rows younger than the retry window stay, unseen below the floor: a repeated append must still be recognised.
DISCARD = """
DELETE FROM via_state_pack WHERE log_id = %(id)s AND first IN (
    SELECT first FROM via_state_pack
    WHERE log_id = %(id)s AND first <= %(floor)s AND last <= %(floor)s
      AND created < now() - make_interval(secs => %(window)s)
    ORDER BY first LIMIT %(rows)s
)
"""

DROP_LOCK = "SELECT id FROM via_state_log WHERE prefix = %(prefix)s AND key = %(key)s FOR UPDATE"
DROP_HEAD = """
UPDATE via_state_log
SET epoch = gen_random_uuid(), last = 0, last_append = NULL, last_index = -1, floor = 0, floor_record = '',
    xid = pg_current_xact_id()
WHERE id = %s
"""
DROP_PACKS = "DELETE FROM via_state_pack WHERE log_id = %s"


def head_of(columns: tuple[Any, ...]) -> Head:
    """The two ends of a log, from `HEAD_COLUMNS`."""
    epoch, last, last_append, last_index, floor, floor_record = columns
    name = epoch.hex
    record = "" if last_append is None else f"{last_append.hex}-{last_index}"
    return Head(Position(name, last, record), Position(name, floor, floor_record))


class Logs:
    """The event log half of the backplane."""

    def __init__(self, connections: Connections, prefix: str, retry_window: float) -> None:
        self._connections, self._prefix, self._retry_window = connections, prefix, retry_window

    def _names(self, key: str, **more: Any) -> dict[str, Any]:
        return {"prefix": self._prefix, "key": key, **more}

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        values = self._names(key, id=UUID(append_id), count=count, data=data)
        async with self._connections.use(write=True) as connection:
            try:
                row = await self._append(connection, values)
            except errors.UniqueViolation:
                before = await (await connection.execute(APPENDED_BEFORE, values)).fetchone()
                assert before is not None, "the append that was in the way is there"
                epoch, last, first = before
                return Position(epoch.hex, last, f"{append_id}-{last - first}")
        epoch, last = row
        return Position(epoch.hex, last, f"{append_id}-{count - 1}")

    async def _append(self, connection: Connection, values: dict[str, Any]) -> tuple[Any, ...]:
        while True:
            row = await (await connection.execute(APPEND, values, binary=True)).fetchone()
            if row is not None:
                return row
            await connection.execute(CREATE, values)

    async def read(self, key: str, after: int, limit: int) -> Batch:
        values = self._names(key, after=after, limit=limit, bytes=BATCH_BYTES)
        async with self._connections.use(write=False) as connection:
            rows = await (await connection.execute(READ, values, binary=True)).fetchall()
        if not rows:
            return Batch([], GENESIS, GENESIS, None, True)
        head = head_of(rows[0][1:7])
        packs = [
            Pack(append_id.hex, first, last - first + 1, data)
            for *_, first, last, append_id, data in rows
            if first is not None
        ]
        first, last, append_id = rows[0][8:11]
        cursor_id = None
        if first is not None and head.floor.offset < after <= last:
            cursor_id = f"{append_id.hex}-{after - first}"
        return Batch(packs, head.position, head.floor, cursor_id, True)

    async def head(self, key: str) -> Head:
        async with self._connections.use(write=False) as connection:
            row = await (await connection.execute(HEAD, self._names(key), binary=True)).fetchone()
        return Head(GENESIS, GENESIS) if row is None else head_of(row)

    async def drop(self, key: str) -> None:
        async with self._connections.use(write=True) as connection, connection.transaction():
            row = await (await connection.execute(DROP_LOCK, self._names(key))).fetchone()
            if row is not None:
                await connection.execute(DROP_PACKS, row)
                await connection.execute(DROP_HEAD, row)

    async def compact(self, key: str, through: int) -> int:
        async with self._connections.use(write=True) as connection:
            row = await (await connection.execute(NEW_FLOOR, self._names(key, through=through))).fetchone()
            if row is None:
                return 0
            log_id, epoch, floor, target, first, append_id = row
            if target > floor and first is not None:
                record = f"{append_id.hex}-{target - first}"
                await connection.execute(
                    RAISE_FLOOR, {"id": log_id, "epoch": epoch, "floor": target, "record": record}
                )
                floor = target
            values = {"id": log_id, "floor": floor, "window": self._retry_window, "rows": DELETE_ROWS}
            while (await connection.execute(DISCARD, values)).rowcount == DELETE_ROWS:
                pass
        return int(floor)
