"""What the doctor says of PostgreSQL, with each fault really made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import psycopg
import pytest
from django.db import connections

from testproject.servers.postgres import Postgres
from tests.backplanes.conftest import Make
from tests.conftest import POSTGRES_ALIAS, UNSAFE, server_folder
from via_state.backplanes.postgres import PostgresBackplane, examination
from via_state.core.findings import Finding, Level
from via_state.exceptions import ViaStateError
from via_state.testing.conformance.harness import append, new_id


async def about(plane: PostgresBackplane, id: str) -> Finding:
    """The first finding of an id."""
    return next(one for one in await plane.examine() if one.id == id)


async def problem(plane: PostgresBackplane, id: str) -> str:
    found = await about(plane, id)
    assert found.level is Level.BAD, found
    assert found.hint
    return found.text


@asynccontextmanager
async def session(application: str = "", **options: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody else's, in a transaction."""
    parameters = connections[POSTGRES_ALIAS].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    given = {**parameters, "application_name": application, **options}
    connection = await psycopg.AsyncConnection.connect(**given)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def other() -> Iterator[Postgres]:
    """A server of these tests: with few connections, prepared transactions, and nobody who removes dead rows."""
    options: dict[str, str | int] = {
        **UNSAFE,
        "max_connections": 12,
        "max_prepared_transactions": 2,
        "autovacuum": "off",
    }
    with server_folder() as folder:
        server = Postgres(folder / "postgres", options=options)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def there(other: Postgres, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """The alias ``postgres`` leads to the server of these tests."""
    settings: dict[str, Any] = connections.databases[POSTGRES_ALIAS]
    for name, value in {"PORT": str(other.port), "NAME": "postgres"}.items():
        monkeypatch.setitem(settings, name, value)
    monkeypatch.setitem(settings, "OPTIONS", {**settings["OPTIONS"], "passfile": str(other.passfile)})
    return other


async def test_a_server_that_is_well_is_said_to_be(plane: PostgresBackplane) -> None:
    found = await plane.examine()
    assert {one.id for one in found} == {f"D{number}" for number in (103, 110, 111, *range(120, 126))}
    assert [one.id for one in found if one.level is not Level.OK] == [
        "D103"
    ]  # this one need not outlive a power cut
    assert "fsync, full_page_writes is off" in await problem(plane, "D103")
    assert "A doorbell came after" in (await about(plane, "D110")).text


async def test_a_write_transaction_that_stays_open_is_named(
    plane: PostgresBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "OPEN", 0.0)
    async with session("nightly-report") as other:
        await other.execute("CREATE TABLE left_open (i int)")
        await other.execute("INSERT INTO left_open VALUES (1)")
        found = await about(plane, "D120")
        assert found.level is Level.BAD
        for part in (
            f"pid {other.info.backend_pid}, postgres from",
            "(nightly-report)",
            "idle in transaction",
            "INSERT INTO left_open",
        ):
            assert part in found.text
        assert found.hint == f"End it: SELECT pg_terminate_backend({other.info.backend_pid})"
    assert (await about(plane, "D120")).level is Level.OK


async def test_what_a_role_may_not_see_is_unknown(plane: PostgresBackplane) -> None:
    name = f"plain_{new_id()}"
    async with session(autocommit=True) as admin:
        await admin.execute(f"CREATE ROLE {name}")
    try:
        connections.databases[POSTGRES_ALIAS]["OPTIONS"]["assume_role"] = name
        found = await about(plane, "D120")
        assert (found.level, found.hint[:25]) == (Level.UNKNOWN, "GRANT pg_read_all_stats T")
    finally:
        del connections.databases[POSTGRES_ALIAS]["OPTIONS"]["assume_role"]
        async with session(autocommit=True) as admin:
            await admin.execute(f"DROP ROLE {name}")


async def test_whoever_blocks_a_log_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "WAITS", 0.1)
    plane, writer = make(), make(POOL_SIZE=1)
    await append(writer, "log", b"x")
    async with session("migration") as other:
        await other.execute("LOCK TABLE via_state_log IN ACCESS EXCLUSIVE MODE")
        waiting = asyncio.create_task(append(writer, "log", b"y"))
        found: list[Finding] = []

        async def blocked() -> bool:
            found[:] = [one for one in await plane.examine() if one.id == "D123"]
            return found[0].level is Level.BAD

        async with asyncio.timeout(20):
            while not await blocked():
                pass
        assert f"for a lock of pid {other.info.backend_pid}, postgres" in found[0].text
        assert "(migration)" in found[0].text
        assert "LOCK TABLE via_state_log" in found[0].text
    await waiting


async def test_a_snapshot_that_is_held_for_long_keeps_dead_rows(
    plane: PostgresBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "HORIZON", 0.0)
    async with session("pg_dump") as other:
        await other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await other.execute("SELECT 1")
        assert f"pid {other.info.backend_pid}, postgres" in await problem(plane, "D124")


async def test_what_a_server_lacks_is_named(make: Make, there: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "KEPT_WAL", 0)
    monkeypatch.setattr(examination, "OPEN", 0.0)
    plane = make(POOL_SIZE=1)
    async with session(autocommit=True) as admin:
        await admin.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        await admin.execute("CREATE TABLE via_state_log (i int) WITH (autovacuum_enabled = false)")
        await admin.execute("BEGIN")
        await admin.execute("INSERT INTO via_state_log VALUES (1)")
        await admin.execute("PREPARE TRANSACTION 'half'")
        found = [one for one in await plane.examine() if one.level is Level.BAD]
        texts = {id: " ".join(one.text for one in found if one.id == id) for id in ("D121", "D122", "D124")}
        assert "the replication slot 'forgotten', which keeps" in texts["D121"]
        assert "The prepared transaction 'half' of postgres, database postgres, is open for " in texts["D122"]
        assert "autovacuum is off" in texts["D124"]
        assert "The table via_state_log is left out of autovacuum" in texts["D124"]
        await admin.execute("ROLLBACK PREPARED 'half'")
        await admin.execute("SELECT pg_drop_replication_slot('forgotten')")
        await admin.execute("DROP TABLE via_state_log")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(session("leaking"))
        text = await problem(plane, "D125")
        assert "of 9 connections are in use, 8 of them by postgres (leaking)" in text


async def test_a_standby_is_named(make: Make, there: Postgres) -> None:
    signal = there.folder / "data" / "standby.signal"
    there.stop()
    with ExitStack() as stack:
        signal.touch()
        stack.callback(there.start)
        stack.callback(signal.unlink)
        stack.callback(there.stop)
        there.start()
        plane = make(POOL_SIZE=1)

        async def answers() -> bool:
            with contextlib.suppress(ViaStateError):
                return bool(await plane.examine())
            return False

        async with asyncio.timeout(20):
            while not await answers():
                pass
        assert "leads to a standby" in await problem(plane, "D111")
        assert "No doorbell can be heard" in await problem(plane, "D110")
        await plane.close()


class TransactionPooler:
    """Gives each transaction of a client one of the server's processes, the next one in turn, as PgBouncer does in its transaction mode."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._ends.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._greet(reader, writer)
            while True:
                message = await _message(reader)
                if message[:1] == b"X":
                    break
                there, back = await self._idle.get()
                back.write(message)
                while message[:1] not in (b"Q", b"S"):  # a query, or the Sync that ends one
                    message = await _message(reader)
                    back.write(message)
                while True:
                    answer = await _message(there)
                    if answer[:1] != b"A":  # whom a notification is for is forgotten
                        writer.write(answer)
                    if answer[:1] == b"Z":
                        break
                await self._idle.put((there, back))
        writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let the client log in at the server; the connection is everybody's afterwards."""
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends.append(back)
        start = await _startup(reader)
        while start[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # encryption? No.
            writer.write(b"N")
            start = await _startup(reader)
        back.write(start)
        while True:
            answer = await _message(there)
            if answer[:1] == b"K":  # how to cancel: the pooler's own business
                answer = answer[:5] + b"\x7f\0\0\1" + answer[9:]
            writer.write(answer)
            if answer[:1] == b"Z":
                break
            if answer[:1] == b"R" and answer[5:9] in (
                b"\0\0\0\x0a",
                b"\0\0\0\x0b",
            ):  # it wants a word of the client
                back.write(await _message(reader))
        await self._idle.put((there, back))

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def _startup(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big") - 4)


async def _message(reader: asyncio.StreamReader) -> bytes:
    kind = await reader.readexactly(1)
    return kind + await _startup(reader)


async def test_a_proxy_that_pools_transactions_is_named(
    make: Make, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "BELL", 0.5)
    pooler = TransactionPooler(postgres.port)
    settings: dict[str, Any] = connections.databases[POSTGRES_ALIAS]
    monkeypatch.setitem(settings, "PORT", str(await pooler.start()))
    monkeypatch.setitem(settings, "DISABLE_SERVER_SIDE_CURSORS", True)
    plane = make(POOL_SIZE=1)
    try:
        text = await problem(plane, "D110")
    finally:
        await plane.close()
        await pooler.close()
    assert "A proxy stands between that gives each transaction another server process" in text


async def test_a_listening_connection_that_leads_elsewhere_is_found(
    make: Make, other: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "BELL", 0.5)
    settings = connections.databases[POSTGRES_ALIAS]
    there = {**settings, "PORT": str(other.port), "NAME": "postgres"}
    there["OPTIONS"] = {**settings["OPTIONS"], "passfile": str(other.passfile)}
    monkeypatch.setitem(connections.databases, "listening", there)
    text = await problem(make(LISTEN_DATABASE="listening"), "D110")
    assert "lead to different servers or databases" in text
