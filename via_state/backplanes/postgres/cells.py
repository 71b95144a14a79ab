"""Cells as rows. Deleted ones stay for a while without their value, so that a sweep sees the deletion."""

from __future__ import annotations

from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.xid import XID
from via_state.core.records import Cell, Lasting
from via_state.exceptions import CASConflict

#: Hours for which a deleted cell is kept, for the sweeps of pods that were away.
KEEP_DELETED = 24

LIVE = "data IS NOT NULL AND (expires IS NULL OR expires > now())"

LOAD = f"SELECT key, data, rev FROM via_state_cell WHERE prefix = %s AND key = ANY(%s) AND {LIVE}"

PAGE = f"""
SELECT key, data, rev, extract(epoch FROM expires - now())::double precision FROM via_state_cell
WHERE prefix = %s AND key > %s AND {LIVE} ORDER BY key LIMIT %s
"""

REPLACE = f"""
UPDATE via_state_cell
SET data = %(data)s, rev = nextval('via_state_rev'), expires = now() + make_interval(secs => %(ttl)s),
    xid = {XID}
WHERE prefix = %(prefix)s AND key = %(key)s AND rev = %(rev)s AND {LIVE}
RETURNING rev
"""

# The revision is drawn again where a row is in the way: drawn before its lock was held, it could be too low.
CREATE = f"""
INSERT INTO via_state_cell AS cell (prefix, key, data, rev, expires, xid)
VALUES (%(prefix)s, %(key)s, %(data)s, nextval('via_state_rev'), now() + make_interval(secs => %(ttl)s),
        {XID})
ON CONFLICT (prefix, key) DO UPDATE
SET data = excluded.data, rev = nextval('via_state_rev'), expires = excluded.expires, xid = excluded.xid
WHERE cell.data IS NULL OR cell.expires <= now()
RETURNING rev
"""

DELETE = f"""
UPDATE via_state_cell
SET data = NULL, rev = nextval('via_state_rev'), expires = now() + interval '{KEEP_DELETED} hours', xid = {XID}
WHERE prefix = %s AND key = %s AND rev = %s AND {LIVE}
"""

PRUNE = """
DELETE FROM via_state_cell WHERE (prefix, key) IN (
    SELECT prefix, key FROM via_state_cell WHERE prefix = %s AND expires <= now() LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


class Cells:
    """The store half of the backplane."""

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections, self._prefix = connections, prefix

    async def load_many(self, keys: list[str]) -> dict[str, Cell]:
        async with self._connections.use(write=False) as connection:
            cursor = await connection.execute(LOAD, (self._prefix, keys), binary=True)
            return {key: Cell(data, rev) async for key, data, rev in cursor}

    async def page(self, after: str, limit: int) -> dict[str, Lasting]:
        async with self._connections.use(write=False) as connection:
            cursor = await connection.execute(PAGE, (self._prefix, after, limit), binary=True)
            return {key: Lasting(Cell(data, rev), ttl) async for key, data, rev, ttl in cursor}

    async def cas(self, key: str, expected_rev: int, data: bytes, ttl: float | None) -> int:
        values = {"prefix": self._prefix, "key": key, "rev": expected_rev, "data": data, "ttl": ttl}
        async with self._connections.use(write=True) as connection:
            cursor = await connection.execute(REPLACE if expected_rev else CREATE, values)
            row = await cursor.fetchone()
        if row is None:
            raise CASConflict(f"{key!r} is not at revision {expected_rev} any more.")
        return int(row[0])

    async def delete(self, key: str, rev: int) -> None:
        async with self._connections.use(write=True) as connection:
            cursor = await connection.execute(DELETE, (self._prefix, key, rev))
        if not cursor.rowcount:
            raise CASConflict(f"{key!r} is not at revision {rev} any more.")

    async def prune(self, limit: int) -> int:
        async with self._connections.use(write=True) as connection:
            return (await connection.execute(PRUNE, (self._prefix, limit))).rowcount
