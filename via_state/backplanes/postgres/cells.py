"""Cells as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from via_state.backplanes.base import MAX_KEY, conflict
from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.xid import XID
from via_state.core.records import Cell, Revision

LIVE = "(expires IS NULL OR expires > now())"

# A longer key is not ours. A sweep counts it; a page of nothing else would be taken for the end.
KNOWN = f"char_length(key) <= {MAX_KEY}"

# This server's clock alone decides how long a cell counts. Infinite times are somebody else's: older servers can't subtract
# them, which would fail all cells that are asked for with that one.
COLUMNS = """
key, data, rev, write_id,
CASE WHEN isfinite(written) THEN extract(epoch FROM now() - written) ELSE 0 END::double precision AS age,
CASE WHEN isfinite(expires) THEN extract(epoch FROM expires - now()) END::double precision AS ttl
"""

LOAD = f"SELECT {COLUMNS} FROM via_state_cell WHERE prefix = %s AND key = ANY(%s) AND {LIVE}"

REVISIONS = f"SELECT key, rev, write_id FROM via_state_cell WHERE prefix = %s AND key = ANY(%s) AND {LIVE}"

# Where the database sorts by bytes, the index gives the keys that begin so.
BEGINS = "key > %(after)s AND key >= %(begin)s AND key ^@ %(begin)s::text"

PAGE = f"""
SELECT {COLUMNS} FROM via_state_cell
WHERE prefix = %(prefix)s AND {BEGINS} AND {KNOWN} AND {LIVE}
ORDER BY key LIMIT %(limit)s
"""

# The sequence may give a number out again, after a crash with lazy commits or from a restored backup: hence the id.
_REPLACE = f"""
UPDATE via_state_cell
SET data = %(data)s, rev = nextval('via_state_rev'), write_id = gen_random_uuid(), written = now(),
    expires = now() + make_interval(secs => %(ttl)s), xid = {XID}
WHERE prefix = %(prefix)s AND key = %(key)s AND rev = %(number)s AND write_id = %(write_id)s AND {LIVE}
RETURNING rev, write_id
"""

# The revision is drawn again where a row is in the way: drawn before its lock was held, it could be too low.
_CREATE = f"""
INSERT INTO via_state_cell AS cell (prefix, key, data, rev, write_id, written, expires, xid)
VALUES (%(prefix)s, %(key)s, %(data)s, nextval('via_state_rev'), gen_random_uuid(), now(),
        now() + make_interval(secs => %(ttl)s), {XID})
ON CONFLICT (prefix, key) DO UPDATE
SET data = excluded.data, rev = nextval('via_state_rev'), write_id = excluded.write_id, written = excluded.written,
    expires = excluded.expires, xid = excluded.xid
WHERE cell.expires <= now()
RETURNING rev, write_id
"""


def _answered(write: str) -> str:
    """A write, and in the same statement what was there instead where it has lost."""
    return f"""
WITH won AS ({write}), there AS (
    SELECT {COLUMNS} FROM via_state_cell WHERE prefix = %(prefix)s AND key = %(key)s AND {LIVE}
)
SELECT won.rev, won.write_id, there.*
FROM (VALUES (1)) AS one LEFT JOIN won ON true LEFT JOIN there ON won.rev IS NULL
"""


REPLACE, CREATE = _answered(_REPLACE), _answered(_CREATE)

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
            return {key: _cell(*columns) async for key, *columns in cursor}

    async def revisions(self, keys: list[str]) -> dict[str, Revision]:
        async with self._connections.use(write=False) as connection:
            cursor = await connection.execute(REVISIONS, (self._prefix, keys), binary=True)
            return {key: revision_of(rev, write_id) async for key, rev, write_id in cursor}

    async def page(self, after: str, limit: int, begin: str) -> dict[str, Cell]:
        values = {"prefix": self._prefix, "after": after, "limit": limit, "begin": begin}
        async with self._connections.use(write=False) as connection:
            cursor = await connection.execute(PAGE, values, binary=True)
            return {key: _cell(*columns) async for key, *columns in cursor}

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None) -> Revision:
        values: dict[str, object] = {"prefix": self._prefix, "key": key, "data": data, "ttl": ttl}
        if expected is not None:
            values |= {"number": expected.number, "write_id": uuid_of(expected.write_id)}
        async with self._connections.use(write=True) as connection:
            cursor = await connection.execute(CREATE if expected is None else REPLACE, values, binary=True)
            rev, write_id, found, *columns = cast("Sequence[Any]", await cursor.fetchone())
        if rev is not None:
            return revision_of(rev, write_id)
        there = None if found is None else _cell(*columns)
        if (None if there is None else there.revision) == expected:
            # The statement has waited for whoever won, and sees what was there before it waited.
            there = (await self.load_many([key])).get(key)
        raise conflict(key, expected, there)

    async def prune(self, limit: int) -> int:
        async with self._connections.use(write=True) as connection:
            return (await connection.execute(PRUNE, (self._prefix, limit))).rowcount


def _cell(data: bytes, rev: int, write_id: UUID, age: float, ttl: float | None) -> Cell:
    return Cell(data, revision_of(rev, write_id), age, ttl)


def revision_of(rev: int, write_id: UUID) -> Revision:
    """From a row's columns."""
    return Revision(rev, write_id.hex)


def uuid_of(text: str) -> UUID:
    """An id as its column has it; one that no row has for an id of another adapter."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
