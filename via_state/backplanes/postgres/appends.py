"""Appending: to one log, which waits for its turn there, and to many in one statement, which waits for nobody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import errors

from via_state.backplanes.postgres import failures
from via_state.backplanes.postgres.connection import Connection
from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.log import LOG
from via_state.backplanes.postgres.xid import XID
from via_state.core.records import GENESIS, Append, AppendedAfter, Position
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown, ViaStateError
from via_state.runtime.kept_errors import again

#: The constraint by which a repeated append id is recognised.
ONCE = "via_state_pack_append"
#: Bytes that travel in one statement, beyond the first append.
MOST_BYTES = 8 * 1024 * 1024

#: An epoch as a position has it.
HEX = "encode(uuid_send(epoch), 'hex')"

# The lock comes first, so that the record that was the last one before is known.
APPEND = f"""
WITH before AS MATERIALIZED (
    SELECT id, last_append, last_index FROM via_state_log WHERE id = {LOG} FOR NO KEY UPDATE
), head AS (
    UPDATE via_state_log log
    SET last = last + %(count)s, last_append = %(id)s::uuid, last_index = %(count)s - 1, xid = {XID}
    FROM before
    WHERE log.id = before.id
    RETURNING log.id, epoch, last, before.last_append, before.last_index
), pack AS (
    INSERT INTO via_state_pack (log_id, first, last, append_id, data)
    SELECT id, last - %(count)s + 1, last, %(id)s::uuid, %(data)s FROM head
)
SELECT {HEX}, last, last_append, last_index FROM head
"""

APPENDED_BEFORE = f"""
SELECT {HEX}, pack.first, pack.last
FROM via_state_log log JOIN via_state_pack pack ON pack.log_id = log.id
WHERE log.id = {LOG} AND pack.append_id = %(id)s::uuid
"""

WANTED = """
unnest(%(keys)s::text[], %(ids)s::uuid[], %(counts)s::bigint[], %(datas)s::bytea[]) AS given (key, append_id, count, data)
"""

# Heads that others have locked are passed over: nobody waits while they hold the locks of other logs, so no order of locks can
# end in a deadlock, and a log that is dropped for minutes keeps no other one. A log that is there twice (see `LOG`) has no id here,
# and is passed over as well. Two scans of the head's row by its id: the lock must be had before the row is changed.
APPEND_MANY = f"""
WITH wanted AS MATERIALIZED (
    SELECT found.id, found.there, given.* FROM {WANTED} CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) = 1 THEN min(id) END AS id, count(*) AS there
        FROM via_state_log WHERE prefix = %(prefix)s AND key = given.key
    ) found
), locked AS MATERIALIZED (
    SELECT id, last_append, last_index FROM via_state_log
    WHERE id = ANY(ARRAY(SELECT id FROM wanted)) FOR NO KEY UPDATE SKIP LOCKED
), head AS (
    UPDATE via_state_log log
    SET last = last + wanted.count, last_append = wanted.append_id, last_index = wanted.count - 1, xid = {XID}
    FROM locked JOIN wanted USING (id)
    WHERE log.id = locked.id
    RETURNING log.id, log.epoch, log.last, wanted.append_id, wanted.count, wanted.data, locked.last_append, locked.last_index
), pack AS (
    INSERT INTO via_state_pack (log_id, first, last, append_id, data)
    SELECT id, last - count + 1, last, append_id, data FROM head
)
SELECT wanted.key, wanted.there = 0, {HEX}, head.last, last_append, last_index FROM wanted LEFT JOIN head USING (id)
"""

# The first append of each. In the order of their keys: whoever makes the same ones at the same time is waited for, and must not
# wait for us. What was made meanwhile is left out.
CREATE_MANY = f"""
WITH wanted AS MATERIALIZED (SELECT * FROM {WANTED}), head AS (
    INSERT INTO via_state_log (prefix, key, epoch, last, last_append, last_index, floor, floor_record, xid)
    SELECT %(prefix)s, key, gen_random_uuid(), count, append_id, count - 1, 0, '', {XID} FROM wanted ORDER BY key
    ON CONFLICT (prefix, key) DO NOTHING
    RETURNING id, key, epoch, last
), pack AS (
    INSERT INTO via_state_pack (log_id, first, last, append_id, data)
    SELECT head.id, 1, head.last, wanted.append_id, wanted.data FROM head JOIN wanted USING (key)
)
SELECT key, {HEX}, last, NULL::uuid, NULL::integer FROM head
"""

APPENDED_MANY_BEFORE = f"""
SELECT log.key, {HEX}, pack.first, pack.last
FROM {WANTED} JOIN via_state_log log ON log.prefix = %(prefix)s AND log.key = given.key
JOIN via_state_pack pack ON pack.log_id = log.id AND pack.append_id = given.append_id
"""


class Appends:
    """The half of `Logs` that writes. ``prefix``: of the project."""

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections, self._prefix = connections, prefix

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        values = {"prefix": self._prefix, "key": key, "id": append_id, "count": count, "data": data}
        async with self._connections.use(write=True) as connection:
            while True:
                try:
                    for row in await _rows(connection, APPEND, values):
                        return _appended(append_id, count, *row)
                except errors.UniqueViolation as error:
                    if error.diag.constraint_name != ONCE:
                        raise
                    for epoch, first, last in await _rows(connection, APPENDED_BEFORE, values):
                        return Position(epoch, last, f"{append_id}-{last - first}")
                # No such log; or it had this append, and was dropped a moment ago.
                one = Append(key, append_id, count, data)
                for _, *rest in await _rows(connection, CREATE_MANY, self._values([one])):
                    return _appended(append_id, count, *rest)

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        """As `Backplane.append_many`, for appends that are checked."""
        wanted: dict[str, Append] = {}
        size = 0
        for one in appends:
            size += len(one.data)
            if wanted and size > MOST_BYTES:
                break
            wanted[one.key] = one
        found: dict[str, Position | ViaStateError] = {}
        try:
            async with self._connections.use(write=True) as connection:
                await self._append_many(connection, wanted, found)
        except OutcomeUnknown as error:
            if not found:
                raise
            found |= {key: again(error) for key in wanted.keys() - found.keys()}
        except (BackplaneUnavailable, Closed):
            if not found:  # otherwise some are in their logs, and the others are not
                raise
        return found

    async def _append_many(
        self, connection: Connection, wanted: dict[str, Append], found: dict[str, Position | ViaStateError]
    ) -> None:
        try:
            rows = await self._appended(connection, wanted.values(), found)
            absent = [wanted[key] for key, is_absent, *_ in rows if is_absent]
            _tell(wanted, found, ((key, *row) for key, _, *row in rows if row[0] is not None))
            if absent:
                _tell(wanted, found, await _rows(connection, CREATE_MANY, self._values(absent)))
        except psycopg.Error as error:
            # The server says no to all for the sake of one: each is told alone. Nothing of this statement was done.
            if not failures.refused(error) or failures.elsewhere(error) or failures.pooled(error):
                raise

    async def _appended(
        self, connection: Connection, appends: Collection[Append], found: dict[str, Position | ViaStateError]
    ) -> list[tuple[Any, ...]]:
        """The rows of `APPEND_MANY`, for those that were not appended by an earlier attempt. Those are put to ``found``."""
        try:
            return await _rows(connection, APPEND_MANY, self._values(appends))
        except errors.UniqueViolation as error:
            if error.diag.constraint_name != ONCE:
                raise
        ids = {one.key: one.append_id for one in appends}
        for key, epoch, first, last in await _rows(connection, APPENDED_MANY_BEFORE, self._values(appends)):
            found[key] = Position(epoch, last, f"{ids[key]}-{last - first}")
        others = [one for one in appends if one.key not in found]
        return await _rows(connection, APPEND_MANY, self._values(others)) if others else []

    def _values(self, appends: Collection[Append]) -> dict[str, Any]:
        return {
            "prefix": self._prefix,
            # As PostgreSQL reads arrays: psycopg's own dumper looks at each element several times.
            "keys": text_array([one.key for one in appends]),
            "ids": f"{{{','.join([one.append_id for one in appends])}}}",
            "counts": f"{{{','.join([str(one.count) for one in appends])}}}",
            "datas": '{"' + '","'.join([rf"\\x{one.data.hex()}" for one in appends]) + '"}',
        }


def text_array(texts: Collection[str]) -> str:
    """An array of texts as PostgreSQL reads it."""
    joined = "\0".join(texts)  # which no text of PostgreSQL has
    if '"' in joined or "\\" in joined:
        joined = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + joined.replace("\0", '","') + '"}' if texts else "{}"


def _tell(wanted: dict[str, Append], found: dict[str, Position | ViaStateError], rows: Any) -> None:
    for key, *row in rows:
        one = wanted[key]
        found[key] = _appended(one.append_id, one.count, *row)


def _appended(
    append_id: str, count: int, epoch: str, last: int, last_append: UUID | None, last_index: int | None
) -> Position:
    """``last_append``, ``last_index``: of the log's last record before."""
    after = GENESIS if last_append is None else Position(epoch, last - count, f"{last_append.hex}-{last_index}")
    return AppendedAfter(epoch, last, f"{append_id}-{count - 1}", after)


async def _rows(connection: Connection, statement: LiteralString, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, values, binary=True)).fetchall()
