"""Logs as rows: a head row for each log, whose lock orders its appends, and a row for each pack."""

from __future__ import annotations

import asyncio
import itertools
import time
from operator import itemgetter
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from via_state.backplanes.postgres.cells import BEGINS, KNOWN, uuid_of
from via_state.backplanes.postgres.connection import Connection
from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.xid import XID
from via_state.core.holes import before_hole
from via_state.core.records import GENESIS, Batch, LogBounds, Pack, Position

#: Bytes of packs in one batch, beyond the first, and packs.
BATCH_BYTES, BATCH_PACKS = 8 * 1024 * 1024, 1000
#: Rows deleted in one statement of a compaction, and for how many times as long as that took it then rests: appends go
#: before tidiness.
DELETE_ROWS, REST = 500, 2.0
#: Logs for which a process remembers how far it has discarded, and for how many seconds: a restored backup may bring
#: back what was gone.
REMEMBERED_LOGS, FROM_THE_START = 10_000, 600.0
#: Seconds that dropping a log may take, with all its rows.
DROP_TIMEOUT = 600.0

# A subquery that finds two rows is an error of the server's: tables that were restored in several steps, without their
# constraints, may hold a log twice.
LOG = "(SELECT id FROM via_state_log WHERE prefix = %(prefix)s AND key = %(key)s)"

HEAD_COLUMNS = "epoch, last, last_append, last_index, floor, floor_record"

# One statement, so that head, floor, proof and packs are of one moment. `under` is the pack that holds the record at
# the cursor (or at the floor, if that is ahead); the packs wanted begin with it when it reaches beyond.
READ_EACH = f"""
JOIN LATERAL (
    SELECT id, {HEAD_COLUMNS}, greatest(floor, wanted.after) AS start
    FROM via_state_log WHERE id = (SELECT id FROM via_state_log WHERE prefix = %(prefix)s AND key = wanted.key)
) log ON true
LEFT JOIN LATERAL (
    SELECT first, last, append_id FROM via_state_pack
    WHERE log_id = log.id AND first <= log.start
    ORDER BY first DESC LIMIT 1
) under ON true
LEFT JOIN LATERAL (
    SELECT first, last, append_id, data FROM (
        SELECT *, sum(octet_length(data)) OVER (ORDER BY first) - octet_length(data) AS before
        FROM (
            SELECT first, last, append_id, data FROM via_state_pack
            WHERE log_id = log.id
              AND first >= CASE WHEN under.last > log.start THEN under.first ELSE log.start + 1 END
              AND first <= log.start + %(limit)s
            ORDER BY first LIMIT {BATCH_PACKS}
        ) few
    ) counted
    WHERE before < %(bytes)s
) pack ON true
"""
READ_COLUMNS = f"""
{", ".join(f"log.{column}" for column in HEAD_COLUMNS.split(", "))},
under.first, under.last, under.append_id, pack.first, pack.last, pack.append_id, pack.data
"""
READ = f"""
SELECT {READ_COLUMNS} FROM (SELECT %(key)s::text AS key, %(after)s::bigint AS after) wanted {READ_EACH}
ORDER BY pack.first
"""
# What comes after the first bytes is left out, and so may be whole logs.
READ_MANY = f"""
SELECT * FROM (
    SELECT wanted.key, {READ_COLUMNS},
           sum(octet_length(pack.data)) OVER (ORDER BY wanted.key, pack.first) - octet_length(pack.data) AS before
    FROM unnest(%(keys)s::text[], %(afters)s::bigint[]) AS wanted (key, after) {READ_EACH}
) AS found (key, {", ".join(f"c{number}" for number in range(13))}, before)
WHERE coalesce(before, 0) < %(bytes)s
ORDER BY key, c9
"""

# Where the records continue after some that are missing.
CONTINUES_AT = f"SELECT min(first) FROM via_state_pack WHERE log_id = {LOG} AND first > %(start)s"

HEAD = f"SELECT {HEAD_COLUMNS} FROM via_state_log WHERE id = {LOG}"

HEADS = f"SELECT key, {HEAD_COLUMNS} FROM via_state_log WHERE prefix = %(prefix)s AND key = ANY(%(keys)s)"

PAGE = f"""
SELECT key, {HEAD_COLUMNS} FROM via_state_log
WHERE prefix = %(prefix)s AND {BEGINS} AND {KNOWN} AND last > 0
ORDER BY key LIMIT %(limit)s
"""

# The floor goes up to a record that is there, so the pack with it is found unless another compaction was faster, or the
# record is missing.
RAISE_FLOOR = f"""
WITH target AS (
    SELECT log.id, log.epoch, least(%(through)s, log.last) AS floor, pack.first, pack.last, pack.append_id
    FROM via_state_log log JOIN LATERAL (
        SELECT first, last, append_id FROM via_state_pack
        WHERE log_id = log.id AND first <= least(%(through)s, log.last)
        ORDER BY first DESC LIMIT 1
    ) pack ON true
    WHERE log.id = {LOG}
)
UPDATE via_state_log log
SET floor = target.floor,
    floor_record = replace(target.append_id::text, '-', '') || '-' || (target.floor - target.first),
    xid = {XID}
FROM target
WHERE log.id = target.id AND log.epoch = target.epoch AND log.floor < target.floor AND target.last >= target.floor
  AND log.epoch = coalesce(%(epoch)s::uuid, log.epoch)
"""

FLOOR = f"SELECT floor, epoch FROM via_state_log WHERE id = {LOG}"

# Below the floor as it is in this statement: between two statements the log may have been dropped and begun again. Rows
# that are younger than the retry window stay, unseen: a repeated append must still be recognised. So do older rows
# after them (an append is dated before it waits for its place): what is discarded is a prefix, which `after` can follow.
# Its lock excludes a drop, which deletes in another order, and no append.
DISCARD = f"""
WITH old AS MATERIALIZED (
    SELECT log.id, pack.first
    FROM via_state_log log CROSS JOIN LATERAL (
        SELECT first, bool_and(created < now() - make_interval(secs => %(window)s)) OVER (ORDER BY first) AS forgotten
        FROM (
            SELECT first, created FROM via_state_pack
            WHERE log_id = log.id AND first > %(after)s AND first <= log.floor AND last <= log.floor
            ORDER BY first LIMIT %(rows)s
        ) portion
    ) pack
    WHERE log.id = {LOG} AND log.epoch = %(epoch)s AND pack.forgotten
    FOR KEY SHARE OF log
), gone AS (
    DELETE FROM via_state_pack pack USING old WHERE pack.log_id = old.id AND pack.first = old.first
)
SELECT count(*), max(first) FROM old
"""

DROP_LOCK = f"SELECT id, epoch, last FROM via_state_log WHERE id = {LOG} FOR UPDATE"
DROP_HEAD = f"""
UPDATE via_state_log
SET epoch = gen_random_uuid(), last = 0, last_append = NULL, last_index = -1, floor = 0, floor_record = '',
    xid = {XID}
WHERE id = %s
"""
DROP_PACKS = "DELETE FROM via_state_pack WHERE log_id = %s"


class _Found(NamedTuple):
    """What was read of one log. ``lost``: the record at the cursor is missing; ``whole``: no record is."""

    batch: Batch
    lost: bool
    whole: bool


def _found(rows: list[tuple[Any, ...]], after: int) -> _Found:
    """From rows of `READ_COLUMNS`."""
    head = head_of(rows[0][:6])
    packs = [
        Pack(append_id.hex, first, last - first + 1, data)
        for *_, first, last, append_id, data in rows
        if first is not None
    ]
    first, last, append_id = rows[0][6:9]
    cursor_id = None
    if first is not None and head.floor.offset < after <= last:
        cursor_id = f"{append_id.hex}-{after - first}"
    start = max(after, head.floor.offset)
    lost = cursor_id is None and head.floor.offset < after <= head.position.offset
    following = [*before_hole(packs, start)]
    whole = not lost and (bool(following) or head.position.offset <= start)
    return _Found(Batch(following, head.position, head.floor, cursor_id, True), lost, whole)


def head_of(columns: tuple[Any, ...]) -> LogBounds:
    """The two ends of a log, from `HEAD_COLUMNS`."""
    epoch, last, last_append, last_index, floor, floor_record = columns
    name = epoch.hex
    record = "" if last_append is None else f"{last_append.hex}-{last_index}"
    return LogBounds(Position(name, last, record), Position(name, floor, floor_record))


class Logs:
    """The event log half of the backplane. ``remember``: seconds for which it knows the id of an append."""

    def __init__(self, connections: Connections, prefix: str, remember: float) -> None:
        self._connections, self._prefix, self._remember = connections, prefix, remember
        # How far each log was discarded by this process, with its epoch and the time when that was begun from the log's
        # start: where the next portion begins. From the start it would pass all index entries that no vacuum has
        # removed yet, each time.
        self._discarded: dict[str, tuple[UUID, int, float]] = {}

    def _names(self, key: str, **more: Any) -> dict[str, Any]:
        return {"prefix": self._prefix, "key": key, **more}

    @staticmethod
    async def _row(
        connection: Connection, statement: LiteralString, values: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        return await (await connection.execute(statement, values, binary=True)).fetchone()

    async def read(self, key: str, after: int, limit: int) -> Batch:
        values = self._names(key, after=after, limit=max(limit, 1), bytes=BATCH_BYTES)
        async with self._connections.use(write=False) as connection:
            rows = await (await connection.execute(READ, values, binary=True)).fetchall()
        if not rows:
            return Batch([], GENESIS, GENESIS, None, True)
        found = _found(rows, after)
        if found.whole:
            return found.batch
        hole = await self._hole(key, max(after, found.batch.floor.offset), found.batch.head.offset)
        return found.batch._replace(packs=[], hole=max(hole, after if found.lost else 0))

    async def read_many(self, after: dict[str, int], limit: int) -> dict[str, Batch]:
        values = {
            "prefix": self._prefix,
            "keys": list(after),
            "afters": list(after.values()),
            "limit": max(limit, 1),
            "bytes": BATCH_BYTES,
        }
        async with self._connections.use(write=False) as connection:
            rows = await (await connection.execute(READ_MANY, values, binary=True)).fetchall()
        answers: dict[str, Batch] = {}
        for key, group in itertools.groupby(rows, itemgetter(0)):
            read = _found([row[1:-1] for row in group], after[key])
            if read.whole:
                answers[key] = read.batch
        return answers

    async def _hole(self, key: str, start: int, head: int) -> int:
        """The last offset that is missing after ``start``, 0 when none is any more."""
        async with self._connections.use(write=False) as connection:
            row = await self._row(connection, CONTINUES_AT, self._names(key, start=start))
        assert row is not None, "an aggregate has one row"
        through = head if row[0] is None else row[0] - 1
        return through if through > start else 0

    async def head(self, key: str) -> LogBounds:
        async with self._connections.use(write=False) as connection:
            row = await (await connection.execute(HEAD, self._names(key), binary=True)).fetchone()
        return LogBounds(GENESIS, GENESIS) if row is None else head_of(row)

    async def heads(self, keys: list[str]) -> dict[str, LogBounds]:
        values = {"prefix": self._prefix, "keys": keys}
        async with self._connections.use(write=False) as connection:
            rows = await (await connection.execute(HEADS, values, binary=True)).fetchall()
        return {key: head_of(tuple(columns)) for key, *columns in rows}

    async def drop(self, key: str, last: Position | None) -> None:
        async with self._connections.use(write=True, seconds=DROP_TIMEOUT) as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            row = await self._row(connection, DROP_LOCK, self._names(key))
            if row is None:
                return
            log, epoch, offset = row
            if last is None or (last.epoch, last.offset) == (epoch.hex, offset):
                await connection.execute(DROP_PACKS, (log,))
                await connection.execute(DROP_HEAD, (log,))

    async def page(self, after: str, limit: int, begin: str) -> dict[str, LogBounds]:
        values = {"prefix": self._prefix, "after": after, "limit": limit, "begin": begin}
        async with self._connections.use(write=False) as connection:
            rows = await (await connection.execute(PAGE, values, binary=True)).fetchall()
        return {key: head_of(tuple(columns)) for key, *columns in rows}

    async def compact(self, key: str, through: int, epoch: str | None) -> int:
        values = self._names(
            key,
            through=through,
            epoch=None if epoch is None else uuid_of(epoch),
            window=self._remember,
            rows=DELETE_ROWS,
        )
        async with self._connections.use(write=True) as connection:
            await connection.execute(RAISE_FLOOR, values)
            row = await self._row(connection, FLOOR, values)
        if row is None:
            return 0
        floor, found = row
        values["epoch"] = found
        now = time.monotonic()
        known, values["after"], since = self._discarded.pop(key, (found, 0, now))
        if known != found or now - since >= FROM_THE_START:
            values["after"], since = 0, now
        rows = DELETE_ROWS
        while rows == DELETE_ROWS:
            started = time.perf_counter()
            async with self._connections.use(write=True) as connection:  # time for each portion
                row = await self._row(connection, DISCARD, values)
            assert row is not None, "an aggregate has one row"
            rows, last = row
            values["after"] = last or values["after"]
            if rows == DELETE_ROWS:
                await asyncio.sleep(REST * (time.perf_counter() - started))
        self._discarded[key] = found, values["after"], since
        if len(self._discarded) > REMEMBERED_LOGS:
            del self._discarded[next(iter(self._discarded))]
        return int(floor)
