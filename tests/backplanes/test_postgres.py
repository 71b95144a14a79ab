"""The PostgreSQL backplane keeps the contract, on a good network and on a bad one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from django.conf import settings
from django.db import connections

from testproject.servers.postgres import Postgres
from testproject.servers.proxy import Proxy
from tests.backplanes.conftest import Make
from tests.backplanes.cutting import append_while_cut, persist, publish_while_cut
from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.base import Backplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.postgres.changes import Cursor
from via_state.core.records import GENESIS, Cell
from via_state.exceptions import BackplaneUnavailable, CASConflict, Closed, NotMigrated, OutcomeUnknown
from via_state.testing.conformance import BackplaneConformance
from via_state.testing.conformance.harness import append, eventually, new_id, read_all

T = TypeVar("T")


@pytest.mark.usefixtures("postgres")
class TestPostgresBackplane(BackplaneConformance):
    @pytest.fixture(autouse=True)
    def _prefix(self, prefix: str) -> None:
        self.prefix = prefix

    def make(self) -> Backplane:
        return PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": self.prefix})

    async def rewrite_history(self, plane: Backplane, key: str) -> None:
        """The tables are emptied and filled from a backup, in which the log exists and has no record yet."""
        assert isinstance(plane, PostgresBackplane)
        of_log = "(SELECT id FROM via_state_log WHERE prefix = %s AND key = %s)"
        names = (self.prefix, key)
        async with plane._connections.use(write=True) as connection, connection.transaction():
            for table in ("log", "pack", "cell"):
                backup = f"CREATE TEMPORARY TABLE {table}_backup ON COMMIT DROP AS SELECT * FROM via_state_{table}"
                await connection.execute(backup)
            await connection.execute(f"DELETE FROM pack_backup WHERE log_id = {of_log}", names)
            await connection.execute(
                "UPDATE log_backup SET last = 0, last_append = NULL, last_index = -1 WHERE prefix = %s AND key = %s",
                names,
            )
            await connection.execute("TRUNCATE via_state_log, via_state_pack, via_state_cell")
            for table in ("log", "pack", "cell"):
                await connection.execute(f"INSERT INTO via_state_{table} SELECT * FROM {table}_backup")
        await append(plane, key, b"another", b"history")

    async def lose_records(self, plane: Backplane, key: str, first: int, last: int) -> None:
        assert isinstance(plane, PostgresBackplane)
        delete = (
            "DELETE FROM via_state_pack WHERE log_id = (SELECT id FROM via_state_log WHERE prefix = %s AND key = %s) "
            "AND last >= %s AND first <= %s"
        )
        async with plane._connections.use(write=True) as connection:
            await connection.execute(delete, (self.prefix, key, first, last))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_connections_neither_lose_nor_double_appends(
    make: Make, through_proxy: Proxy, seed: int
) -> None:
    assert await append_while_cut(make(TIMEOUT=2.0), through_proxy, seed) == [*range(1, 241)]


async def test_a_hearing_that_is_cut_holds_again_and_hears_nothing_twice(
    postgres: Postgres, make: Make, through_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearer = make()
    hearer.hear("other", lambda data: None)
    await eventually(lambda: hearer._listener._connection is not None, "listening")
    monkeypatch.setitem(connections.databases[POSTGRES_ALIAS], "PORT", str(postgres.port))
    publisher = make()
    await publisher.publish("topic", b"0")  # its connection is past the proxy
    monkeypatch.setitem(connections.databases[POSTGRES_ALIAS], "PORT", str(through_proxy.port))
    await publish_while_cut(publisher, hearer, through_proxy)


async def test_a_message_that_can_not_be_sent_is_said(make: Make, through_proxy: Proxy) -> None:
    plane = make(CONNECT_TIMEOUT=2.0, TIMEOUT=1.0)
    through_proxy.cut()
    with pytest.raises(BackplaneUnavailable, match="can't be reached"):
        await plane.publish("topic", b"x")
    through_proxy.restore()
    await plane.publish("topic", b"x")
    through_proxy.freeze()
    with pytest.raises(OutcomeUnknown):
        await asyncio.gather(*(plane.publish("topic", b"x") for _ in range(3)))
    through_proxy.thaw()
    await plane.publish("topic", b"x")


async def test_a_database_that_is_down_is_said_quickly_and_found_again(
    postgres: Postgres, through_proxy: Proxy, prefix: str
) -> None:
    through_proxy.cut()
    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    started = time.monotonic()
    with pytest.raises(BackplaneUnavailable, match="can't be reached"):
        await plane.append("log", new_id(), 1, b"x")
    assert time.monotonic() - started < 5
    through_proxy.restore()
    assert (await plane.append("log", new_id(), 1, b"x")).offset == 1
    await plane.close()


async def test_a_silent_network_ends_in_a_time_out(postgres: Postgres, through_proxy: Proxy, prefix: str) -> None:
    plane = PostgresBackplane(
        {"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix, "TIMEOUT": 0.3, "CONNECT_TIMEOUT": 0.3}
    )
    await append(plane, "log", b"x")
    through_proxy.freeze()
    append_id = new_id()
    with pytest.raises(OutcomeUnknown):
        await plane.append("log", append_id, 1, b"y")
    with pytest.raises(BackplaneUnavailable):
        await plane.head("log")
    through_proxy.thaw()
    await persist(lambda: plane.append("log", append_id, 1, b"y"))
    assert [data for _, data in await persist(lambda: read_all(plane, "log"))] == [b"x", b"y"]
    await plane.close()


async def test_a_lost_listening_connection_is_made_again(
    postgres: Postgres, through_proxy: Proxy, prefix: str
) -> None:
    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    rung: list[str | None] = []
    watch = plane.watch(rung.append)
    watch.add("log")
    await eventually(lambda: rung == [None], "the first listening")
    through_proxy.sever()
    await eventually(lambda: rung == [None, None], "the second listening, and its word that rings were missed")
    await persist(lambda: append(plane, "log", b"x"))
    await eventually(lambda: "log" in rung, "a doorbell")
    await plane.close()


async def test_many_keys_at_once_ring_as_anything(postgres: Postgres, prefix: str) -> None:
    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    rung: list[str | None] = []
    plane.watch(rung.append).add("none of them")
    await eventually(lambda: rung == [None], "listening")
    for number in range(600):
        plane._ring(f"鍵{number}")  # together they are more than one NOTIFY takes
    await eventually(lambda: len(rung) > 1, "a doorbell for all")
    assert set(rung) == {None}
    await plane.close()


async def test_closing_ends_calls_in_flight(postgres: Postgres, through_proxy: Proxy, prefix: str) -> None:
    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    await append(plane, "log", b"x")
    through_proxy.freeze()
    call = asyncio.create_task(plane.head("log"))
    await eventually(lambda: bool(plane._connections._used), "the call")
    await plane.close()
    with pytest.raises(Closed):
        await asyncio.wait_for(call, 5)
    through_proxy.thaw()


async def test_a_cursor_of_another_server_asks_to_look_at_everything(postgres: Postgres, prefix: str) -> None:
    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    cursor = (await plane.changed(None)).cursor
    assert isinstance(cursor, Cursor)
    assert not (await plane.changed(cursor)).everything
    changes = await plane.changed(cursor._replace(source="another:1"))
    assert changes.everything
    assert not (await plane.changed(changes.cursor)).everything
    await plane.close()


async def test_missing_tables_say_what_to_run(postgres: Postgres, prefix: str) -> None:
    async def run(sql: str) -> None:
        async with plane._connections.use(write=True) as connection:
            await connection.execute(sql)

    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    await run("ALTER TABLE via_state_log RENAME TO via_state_log_away")
    try:
        with pytest.raises(NotMigrated, match=r"manage\.py migrate --database postgres"):
            await plane.read("log", GENESIS)
    finally:
        await run("ALTER TABLE via_state_log_away RENAME TO via_state_log")
        await plane.close()


async def test_prefixes_keep_projects_apart(postgres: Postgres, prefix: str) -> None:
    one = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
    other = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix + "2"})
    cursor = (await other.changed(None)).cursor
    await append(one, "log", b"x")
    revision = await one.cas("cell", None, b"x")
    assert await read_all(other, "log") == []
    assert await other.load("cell") is None
    with pytest.raises(CASConflict):
        await other.cas("cell", revision, b"y")
    changes = await other.changed(cursor)
    assert not changes.logs
    assert not changes.cells
    await one.close()
    await other.close()


@asynccontextmanager
async def _planes(prefix: str) -> AsyncIterator[tuple[PostgresBackplane, PostgresBackplane]]:
    """Two processes' backplanes."""
    made = tuple(PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix}) for _ in range(2))
    try:
        yield made[0], made[1]
    finally:
        for plane in made:
            await plane.close()


async def test_whoever_loses_a_cell_gets_the_winners_value_in_the_same_statement(
    postgres: Postgres, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _planes(prefix) as (first, second):
        old = await first.cas("cell", None, b"old")
        new = await second.cas("cell", old, b"new", ttl=100.0)
        loaded: list[object] = []
        monkeypatch.setattr(second._cells, "load_many", loaded.append)
        for expected in (None, old):
            with pytest.raises(CASConflict) as found:
                await second.cas("cell", expected, b"late")
            there = found.value.cell
            assert isinstance(there, Cell)
            assert there[:2] == (b"new", new)
            assert there.age >= 0
            assert there.ttl is not None
            assert 0 < there.ttl <= 100
        with pytest.raises(CASConflict) as found:
            await second.cas("another", old, b"late")
        assert found.value.cell is None
        assert loaded == []


#: Another process's write, where there is a cell and where there is none.
WIN = {
    True: "UPDATE via_state_cell SET data = 'new', rev = nextval('via_state_rev'), write_id = gen_random_uuid() WHERE prefix = %s",
    False: "INSERT INTO via_state_cell (prefix, key, data, rev, write_id, written, xid) "
    "VALUES (%s, 'cell', 'new', nextval('via_state_rev'), gen_random_uuid(), now(), 0)",
}


@pytest.mark.parametrize("there", [True, False])
async def test_whoever_waits_for_the_winner_of_a_cell_gets_its_value(
    postgres: Postgres, prefix: str, there: bool
) -> None:
    async with _planes(prefix) as (first, second):
        expected = await first.cas("cell", None, b"old") if there else None
        async with first._connections.use(write=True) as winner, winner.transaction():
            await winner.execute(WIN[there], (prefix,))
            losing = asyncio.ensure_future(second.cas("cell", expected, b"late"))
            waits = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            async with asyncio.timeout(10):
                while await (await winner.execute(waits)).fetchone() == (0,):
                    await asyncio.sleep(0.01)
        with pytest.raises(CASConflict) as found:
            await losing
        cell = await first.load("cell")
        assert cell is not None
        assert isinstance(found.value.cell, Cell)
        assert found.value.cell[:2] == cell[:2] == (b"new", cell.revision)


def test_options_are_checked() -> None:
    def ids(**options: object) -> list[str | None]:
        return [message.id for message in PostgresBackplane.check({"DATABASE": POSTGRES_ALIAS, **options})]

    assert ids() == []
    assert ids(POOL=3) == ["via_state.E020"]
    assert ids(DATABASE="nowhere") == ["via_state.E021"]
    assert ids(DATABASE="default") == ["via_state.E022"]
    assert ids(LISTEN_DATABASE="default") == ["via_state.E022"]
    assert ids(TIMEOUT=0) == ids(POOL_SIZE=1.5) == ["via_state.E024"]


@pytest.mark.parametrize(
    ("database", "warned"),
    [
        ({"HOST": "db.internal"}, True),
        ({"HOST": "127.0.0.1,10.0.0.1"}, True),
        ({"HOST": "db.internal", "OPTIONS": {"sslmode": "prefer"}}, True),
        ({"HOST": "db.internal", "OPTIONS": {"sslmode": "verify-full"}}, False),
        ({"HOST": "db.internal", "OPTIONS": {"service": "shop"}}, False),
        ({"HOST": "db.internal", "PASSWORD": ""}, False),
        ({"HOST": "localhost"}, False),
        ({"HOST": "/run/postgresql"}, False),
        ({"HOST": ""}, False),
    ],
    ids=str,
)
def test_a_password_in_clear_to_another_machine_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, database: dict[str, object], warned: bool
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.setitem(settings.DATABASES, "remote", {"PASSWORD": "hunter2", **database})
    found = PostgresBackplane.check_deployment({"DATABASE": POSTGRES_ALIAS, "LISTEN_DATABASE": "remote"})
    assert [message.id for message in found] == ["via_state.W021"] * warned
    assert "hunter2" not in "".join(f"{one.msg}{one.hint}" for one in found)
