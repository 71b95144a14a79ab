"""What `manage.py state_doctor` asks PostgreSQL: whether bells get through, and who is in the way."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import psycopg

from via_state.backplanes.postgres.connection import Connection, deadline
from via_state.backplanes.postgres.connections import Connections
from via_state.core.findings import Finding, amount, bad, lasted, some, unknown, well
from via_state.core.text import error_line, one_line
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable

Open = Callable[[], Awaitable[Connection]]

#: Seconds that a transaction may be open; that a snapshot may be in use; that a doorbell, and a statement that waits for a lock, may take.
OPEN, HORIZON, BELL, WAITS = 5.0, 3600.0, 2.0, 1.0
#: Bytes of WAL that an unused slot may keep; dead rows of a table; and the part of all connections that is to be left.
KEPT_WAL, DEAD_ROWS, SPARE = 1_000_000_000, 10_000, 0.1
#: Culprits that are named of each kind.
MOST = 5

_DURABLE = """
SELECT name FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name
"""
_WHO = """
pid, usename, coalesce(host(client_addr), 'this machine'), application_name, datname, state, left(query, 200),
extract(epoch FROM clock_timestamp() - xact_start)::float
"""
# A transaction that has written keeps the sweeps of all processes looking at everything since, in any database of the server.
_WRITERS = f"""
SELECT {_WHO} FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s * interval '1 second'
ORDER BY xact_start LIMIT %s
"""
_HIDDEN = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type IS NULL AND NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
"""
_HORIZON = f"""
SELECT {_WHO} FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND backend_xid IS NULL AND pid <> pg_backend_pid() AND datname = current_database()
  AND xact_start < clock_timestamp() - %s * interval '1 second'
ORDER BY xact_start LIMIT %s
"""
_SLOTS = """
SELECT slot_name, kept FROM (
    SELECT slot_name, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                                      restart_lsn)::float AS kept
    FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL) AS slots
WHERE kept >= %s ORDER BY kept DESC LIMIT %s
"""
_PREPARED = """
SELECT gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::float FROM pg_prepared_xacts
WHERE prepared < clock_timestamp() - %s * interval '1 second' ORDER BY prepared LIMIT %s
"""
_BLOCKERS = f"""
WITH waiting AS (
    SELECT DISTINCT waits.pid FROM pg_locks AS waits JOIN pg_locks AS held ON held.pid = waits.pid
    JOIN pg_class ON pg_class.oid = held.relation
    JOIN pg_database ON pg_database.oid = held.database AND datname = current_database()
    WHERE NOT waits.granted AND waits.waitstart < clock_timestamp() - %s * interval '1 second' AND relname LIKE 'via\\_state\\_%%'
), blockers AS (
    SELECT blocker, count(*) AS behind FROM waiting, unnest(pg_blocking_pids(waiting.pid)) AS blocker
    WHERE blocker NOT IN (SELECT pid FROM waiting) GROUP BY blocker
)
SELECT {_WHO}, behind FROM pg_stat_activity JOIN blockers ON pid = blocker ORDER BY behind DESC LIMIT %s
"""
_TABLES = """
SELECT relname, n_dead_tup FROM pg_stat_user_tables
WHERE relname LIKE 'via\\_state\\_%%' AND n_dead_tup > greatest(%s, n_live_tup) ORDER BY n_dead_tup DESC LIMIT %s
"""
_NOT_VACUUMED = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'via\\_state\\_%' AND 'autovacuum_enabled=false' = ANY (reloptions)
ORDER BY relname
"""
_ROOM = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (SELECT count(*)::int FROM pg_stat_activity WHERE datname IS NOT NULL)
"""
_CROWD = """
SELECT usename, application_name, count(*)::int FROM pg_stat_activity WHERE datname IS NOT NULL
GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 1
"""


class Session(NamedTuple):
    """One that is in somebody's way, as the server knows it."""

    pid: int
    user: str | None
    address: str
    application: str
    database: str | None
    state: str | None
    query: str | None
    seconds: float | None

    def __str__(self) -> str:
        application = f" ({one_line(self.application, 60)})" if self.application else ""
        query = one_line(" ".join((self.query or "").split()), 120)
        return (
            f"pid {self.pid}, {self.user} from {self.address}{application}, database {self.database}, "
            f"{self.state or 'state unknown'}: {query!r}"
        )

    @property
    def ending(self) -> str:
        """How to end it."""
        return f"End it: SELECT pg_terminate_backend({self.pid})"


class Examination:
    """``alias`` is asked on ``connections``; ``listening`` and ``ringing`` open the connections that doorbells need."""

    def __init__(self, alias: str, connections: Connections, listening: Open, ringing: Open) -> None:
        self._alias, self._connections, self._listening, self._ringing = alias, connections, listening, ringing

    async def findings(self) -> list[Finding]:
        """Everything that was looked at. Raises `BackplaneUnavailable` where the server does not answer."""
        found: list[Finding] = []
        parts = (
            ("D103", self._durable),
            ("D110", self._doorbell),
            ("D111", self._standby),
            ("D120", self._writers),
            ("D121", self._slots),
            ("D122", self._prepared),
            ("D123", self._blockers),
            ("D124", self._vacuum),
            ("D125", self._room),
        )
        for id, part in parts:
            try:
                found += await part()
            except BackplaneRefused as error:
                found.append(unknown(id, f"This could not be looked at: {error}"))
        return found

    async def _rows(self, sql: str, *values: object) -> list[Any]:
        async with self._connections.use(write=False) as connection:
            return await (await connection.execute(sql, values or None)).fetchall()

    async def _sessions(self, sql: str, *values: object) -> list[Session]:
        return [Session(*row) for row in await self._rows(sql, *values)]

    async def _durable(self) -> list[Finding]:
        off = ", ".join(name for (name,) in await self._rows(_DURABLE))
        if not off:
            return [well("D103", "The server acknowledges what is on its disk.")]
        return [
            bad(
                "D103",
                f"{off} is off: what the server acknowledged may be gone, or broken, after it lost power.",
                "Set it to on in postgresql.conf, or for the role: ALTER ROLE ... RESET synchronous_commit.",
            )
        ]

    async def _standby(self) -> list[Finding]:
        ((recovering,),) = await self._rows("SELECT pg_is_in_recovery()")
        if not recovering:
            return [well("D111", "The server is the primary.")]
        return [
            bad(
                "D111",
                f"The database {self._alias!r} leads to a standby: it takes no writes, and nobody can LISTEN there.",
                "Name all hosts of the cluster in HOST, with OPTIONS['target_session_attrs'] = 'read-write'.",
            )
        ]

    async def _doorbell(self) -> list[Finding]:
        try:
            return [await self._ring()]
        except (psycopg.Error, BackplaneUnavailable) as error:
            text = f"No doorbell can be heard, so changes are seen by sweeps only: {error_line(error)}"
            return [bad("D110", text, "See that OPTIONS['LISTEN_DATABASE'], or DATABASE, leads to the primary.")]

    async def _ring(self) -> Finding:
        channel = f"via_state_doctor_{secrets.token_hex(8)}"
        async with _opened(self._listening) as listening, _opened(self._ringing) as ringing:
            with deadline(listening, BELL):
                await listening.execute(f"LISTEN {channel}")
                row = await (await listening.execute("SELECT pg_backend_pid()")).fetchone()
            began = time.monotonic()
            with deadline(ringing, BELL):
                await ringing.execute("SELECT pg_notify(%s, '')", [channel])
            async for one in listening.notifies(timeout=BELL):
                if one.channel == channel:
                    return well("D110", f"A doorbell came after {(time.monotonic() - began) * 1000:.1f} ms.")
            greeted, answered = listening.info.backend_pid, row and row[0]
        why = (
            "A proxy stands between that gives each transaction another server process: it greets as process "
            f"{greeted}, and process {answered} answers."
            if greeted != answered
            else "NOTIFY and LISTEN lead to different servers or databases, or something between swallows them."
        )
        return bad(
            "D110",
            f"No doorbell came within {BELL:g} s, so changes are seen by sweeps only. {why}",
            "Name an alias without the proxy in OPTIONS['LISTEN_DATABASE'].",
        )

    async def _writers(self) -> list[Finding]:
        found = [
            bad(
                "D120",
                f"A write transaction is open for {lasted(one.seconds or 0)}: {one}. Until it ends, each sweep of each process reads "
                "again what changed since.",
                one.ending,
            )
            for one in await self._sessions(_WRITERS, OPEN, MOST)
        ]
        ((hidden,),) = await self._rows(_HIDDEN)
        if hidden:
            text = f"The transactions of {hidden} sessions of other roles can't be seen."
            found.append(unknown("D120", text, "GRANT pg_read_all_stats TO the role of this command."))
        return some("D120", found, "No write transaction is open for long.")

    async def _slots(self) -> list[Finding]:
        found = [
            bad(
                "D121",
                f"Nobody reads the replication slot {name!r}, which keeps {amount(kept)} of WAL: the disk fills.",
                f"Start its reader, or: SELECT pg_drop_replication_slot('{name}')",
            )
            for name, kept in await self._rows(_SLOTS, KEPT_WAL, MOST)
        ]
        return some("D121", found, "No replication slot that nobody reads keeps WAL.")

    async def _prepared(self) -> list[Finding]:
        found = [
            bad(
                "D122",
                f"The prepared transaction {gid!r} of {owner}, database {database}, is open for {lasted(seconds)}, with its locks.",
                f"In that database: COMMIT PREPARED '{gid}', or ROLLBACK PREPARED '{gid}'",
            )
            for gid, owner, database, seconds in await self._rows(_PREPARED, OPEN, MOST)
        ]
        return some("D122", found, "No prepared transaction is open.")

    async def _blockers(self) -> list[Finding]:
        found = []
        for *columns, behind in await self._rows(_BLOCKERS, WAITS, MOST):
            one = Session(*columns)
            text = f"{behind} statements on tables of via_state have waited for more than {WAITS:g} s for a lock of {one}."
            found.append(bad("D123", text, one.ending))
        return some("D123", found, "Nobody blocks rows of via_state.")

    async def _vacuum(self) -> list[Finding]:
        found = []
        for one in await self._sessions(_HORIZON, HORIZON, MOST):
            text = f"A snapshot is in use for {lasted(one.seconds or 0)}, and rows that died since can't be removed: {one}."
            found.append(bad("D124", text, one.ending))
        ((automatic,),) = await self._rows("SELECT current_setting('autovacuum')")
        if automatic == "off":
            text = "autovacuum is off: tables only grow, and reads become slow."
            found.append(bad("D124", text, "Set autovacuum to on in postgresql.conf."))
        for (table,) in await self._rows(_NOT_VACUUMED):
            text = f"The table {table} is left out of autovacuum: it only grows."
            found.append(bad("D124", text, f"ALTER TABLE {table} RESET (autovacuum_enabled)"))
        for table, dead in await self._rows(_TABLES, DEAD_ROWS, MOST):
            text = f"Of the table {table} {dead:,} rows are dead, more than live."
            found.append(bad("D124", text, f"VACUUM {table}, and let autovacuum come more often."))
        return some("D124", found, "Dead rows are removed.")

    async def _room(self) -> list[Finding]:
        ((most, used),) = await self._rows(_ROOM)
        if most - used >= most * SPARE:
            return [well("D125", f"{used} of {most} connections are in use.")]
        ((user, application, count),) = await self._rows(_CROWD)
        return [
            bad(
                "D125",
                f"{used} of {most} connections are in use, {count} of them by {user}"
                f"{f' ({one_line(application, 60)})' if application else ''}: processes that start get none.",
                "Use a pool (OPTIONS['pool'] in DATABASES, or a proxy), fewer threads, or raise max_connections.",
            )
        ]


@asynccontextmanager
async def _opened(open_connection: Open) -> AsyncIterator[Connection]:
    connection = await open_connection()
    try:
        yield connection
    finally:
        await connection.close()
