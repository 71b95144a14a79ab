"""What moved since the last look, by transaction ids."""

from __future__ import annotations

from typing import NamedTuple

from via_state.backplanes.base import CURSOR_LIFE
from via_state.backplanes.postgres.cells import LIVE, revision_of
from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.log import HEAD_COLUMNS, head_of
from via_state.core.records import Changes

# All in one statement, so of one snapshot. Every transaction below the xmin of the snapshot before had ended, and was seen by
# whoever looked then; so had those that this snapshot shows as ended, though an older one was still open. Seeing a row twice is
# harmless. `below` is the next id that this server gives: a row with a higher one was written by another server, and came here
# as data. Both bounds are values of the index; what the snapshot says is asked of those between them only.
#
# Transaction ids mean something while this server runs over these files. A start, a failover, a restored backup, tables
# that were emptied and filled again: afterwards `source` is another one.
#
# What they are compared with is asked for in subqueries: joined, the server may look for the rows first, and compare then.
MOVED = """
(SELECT source FROM now) = %(source)s AND prefix = %(prefix)s AND xid >= %(xmin)s AND xid < (SELECT below FROM now)
AND NOT pg_visible_in_snapshot(xid::text::xid8, %(snapshot)s::pg_snapshot)
"""

CHANGED = f"""
WITH now AS MATERIALIZED (
    SELECT concat_ws(':', extract(epoch FROM pg_postmaster_start_time()),
                     pg_relation_filenode('via_state_log'), pg_relation_filenode('via_state_cell')) AS source,
           pg_current_snapshot() AS snapshot, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS below,
           extract(epoch FROM now())::bigint AS seconds
)
SELECT 'now' AS kind, source AS key, NULL::uuid AS epoch, NULL::bigint AS last, NULL::uuid AS last_append,
       NULL::integer AS last_index, NULL::bigint AS floor, snapshot::text AS floor_record, seconds AS rev
FROM now
UNION ALL
SELECT 'log', key, {HEAD_COLUMNS}, NULL FROM via_state_log WHERE {MOVED}
UNION ALL
SELECT 'cell', key, write_id, NULL, NULL, NULL, NULL, NULL, CASE WHEN {LIVE} THEN rev END FROM via_state_cell
WHERE {MOVED}
"""


class Cursor(NamedTuple):
    """``source`` names the server and the files that ``snapshot`` belongs to; ``seconds`` is the server's time then."""

    source: str
    snapshot: str
    seconds: int

    @property
    def xmin(self) -> int:
        """All transactions below it had ended."""
        return int(self.snapshot.partition(":")[0])


NOWHERE = Cursor("", "1:1:", 0)


async def changed(connections: Connections, prefix: str, cursor: object | None) -> Changes:
    """See `Backplane.changed`."""
    before = cursor if isinstance(cursor, Cursor) else NOWHERE
    values = {"prefix": prefix, "source": before.source, "xmin": before.xmin, "snapshot": before.snapshot}
    async with connections.use(write=False) as connection:
        rows = await (await connection.execute(CHANGED, values, binary=True)).fetchall()
    ours = connections.strangers.has_key
    logs = {key: head_of(tuple(columns)) for kind, key, *columns, _ in rows if kind == "log" and ours("log", key)}
    cells = {
        key: None if rev is None else revision_of(rev, write_id)
        for kind, key, write_id, *_, rev in rows
        if kind == "cell" and ours("cell", key)
    }
    ((_, source, *_, snapshot, seconds),) = (row for row in rows if row[0] == "now")
    too_old = seconds - before.seconds > CURSOR_LIFE
    lost = before.source != source or too_old
    return Changes(logs, cells, cursor is not None and lost, Cursor(source, snapshot, seconds))
