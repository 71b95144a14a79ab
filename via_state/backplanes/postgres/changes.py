"""What moved since the last look, by transaction ids."""

from __future__ import annotations

from typing import NamedTuple

from via_state.backplanes.postgres.cells import LIVE
from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.log import HEAD_COLUMNS, head_of
from via_state.core.records import Changes

# All in one statement, so of one snapshot. Every transaction below its xmin had ended, and was seen by whoever looked
# then; everything else has an xid from it on, and is looked at again. Seeing a row twice is harmless.
CHANGED = f"""
SELECT 'xmin', pg_snapshot_xmin(pg_current_snapshot())::text,
       NULL::uuid, NULL::bigint, NULL::uuid, NULL::integer, NULL::bigint, NULL, NULL::bigint
UNION ALL
SELECT 'log', key, {HEAD_COLUMNS}, NULL FROM via_state_log
WHERE prefix = %(prefix)s AND xid >= %(xmin)s::xid8
UNION ALL
SELECT 'cell', key, NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN {LIVE} THEN rev ELSE 0 END FROM via_state_cell
WHERE prefix = %(prefix)s AND xid >= %(xmin)s::xid8
"""

#: Above every transaction id: a first look returns a cursor and nothing else.
NOTHING = "18446744073709551615"


class Cursor(NamedTuple):
    """Transaction ids mean something on one server and timeline only; ``server`` names both."""

    server: str
    xmin: str


async def changed(connections: Connections, prefix: str, cursor: object | None) -> Changes:
    """See `Backplane.changed`."""
    before = cursor if isinstance(cursor, Cursor) else None
    async with connections.use(write=False) as connection:
        server = connections.identity
        lost = before is not None and before.server != server
        xmin = NOTHING if before is None or lost else before.xmin
        rows = await (await connection.execute(CHANGED, {"prefix": prefix, "xmin": xmin})).fetchall()
    logs = {key: head_of(tuple(columns)) for kind, key, *columns, _ in rows if kind == "log"}
    cells = {key: rev for kind, key, *_, rev in rows if kind == "cell"}
    (now,) = (text for kind, text, *_ in rows if kind == "xmin")
    return Changes(logs, cells, lost, Cursor(server, now))
