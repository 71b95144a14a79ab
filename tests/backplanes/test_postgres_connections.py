"""Connections that break, hang, are refused or configured in some way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.backends.signals import connection_created
from django.test import override_settings
from django.views.debug import ExceptionReporter

from testproject.servers.postgres import Postgres
from testproject.servers.proxy import Proxy
from tests.backplanes.conftest import Make
from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.postgres import PostgresBackplane
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.testing.conformance.harness import append, eventually, new_id


async def ask(plane: PostgresBackplane, sql: str) -> Any:
    """One value, asked on a connection of the backplane."""
    async with plane._connections.use(write=False) as connection:
        row = await (await connection.execute(sql)).fetchone()
        return row and row[0]


@pytest.fixture
def database(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of the alias ``postgres``, to be changed."""
    settings: dict[str, Any] = connections.databases[POSTGRES_ALIAS]
    monkeypatch.setitem(settings, "OPTIONS", dict(settings["OPTIONS"]))
    monkeypatch.setitem(settings, "PORT", settings["PORT"])
    monkeypatch.setitem(settings, "HOST", settings["HOST"])
    return settings


@pytest.fixture
def many_files() -> Iterator[None]:
    """A process that has so many files open that the next one has a number above 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    with contextlib.ExitStack() as stack, open(os.devnull) as null:
        while (number := os.dup(null.fileno())) < 1100:
            stack.callback(os.close, number)
        stack.callback(os.close, number)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def waiting_room(port: int) -> AsyncIterator[int]:
    """A pooler that lets clients in and then keeps them waiting: the port that it listens on."""
    rooms: set[asyncio.Task[None]] = set()
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room = asyncio.current_task()
        assert room is not None
        rooms.add(room)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        said = b""
        while not said.endswith(b"Z\x00\x00\x00\x05I"):  # ready for a query
            back.write(await reader.read(65536))
            said = await there.read(65536)
            writer.write(said)
        await gone.wait()
        for end in (writer, back):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        gone.set()
        await asyncio.gather(*rooms)


@pytest.mark.usefixtures("many_files")
async def test_a_process_with_a_thousand_open_sockets_is_served(make: Make) -> None:
    plane = make()
    for number in range(3):
        (position,) = await append(plane, "log", b"x")
        assert position.offset == number + 1


async def test_a_server_that_accepts_and_says_nothing_more_is_unavailable(
    make: Make, database: dict[str, Any]
) -> None:
    async with waiting_room(int(database["PORT"])) as port:
        database["PORT"] = str(port)
        plane = make(CONNECT_TIMEOUT=0.3, TIMEOUT=0.3)
        started = time.monotonic()
        with pytest.raises(BackplaneUnavailable):
            await asyncio.wait_for(plane.append("log", new_id(), 1, b"x"), 30)
        assert time.monotonic() - started < 3


async def test_closing_ends_calls_that_wait_for_a_connection(through_proxy: Proxy, make: Make) -> None:
    through_proxy.freeze()
    plane = make(POOL_SIZE=1)
    calls = [asyncio.create_task(plane.head("log")) for _ in range(3)]
    await eventually(lambda: through_proxy.connections == 1, "connecting")
    started = time.monotonic()
    await plane.close()
    for call in calls:
        with pytest.raises(Closed):
            await call
    assert time.monotonic() - started < 2
    through_proxy.thaw()


async def test_closing_does_not_wait_for_a_doorbell_that_hangs_and_blames_nobody(
    through_proxy: Proxy, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="via_state.postgres")
    plane = make()
    plane._ring("first")
    await eventually(
        lambda: plane._notifier._connection is not None and plane._notifier._flight.idle, "a doorbell"
    )
    through_proxy.freeze()
    plane._ring("second")
    assert plane._notifier._connection is not None
    pgconn = plane._notifier._connection.pgconn
    await eventually(lambda: pgconn.transaction_status != 0, "a doorbell on its way")
    started = time.monotonic()
    await plane.close()
    assert time.monotonic() - started < 2
    assert not caplog.records
    through_proxy.thaw()


async def test_a_role_that_django_assumes_is_assumed(make: Make, database: dict[str, Any]) -> None:
    setup = make()
    await ask(setup, "SELECT 1")
    async with setup._connections.use(write=True) as connection:
        await connection.execute("DROP ROLE IF EXISTS via_assumed")
        await connection.execute("CREATE ROLE via_assumed")
    database["OPTIONS"]["assume_role"] = "via_assumed"
    assert await ask(make(), "SELECT current_user::text") == "via_assumed"


async def test_a_role_with_serializable_transactions_gets_the_isolation_that_the_sql_needs(
    make: Make, database: dict[str, Any]
) -> None:
    database["OPTIONS"]["options"] = "-c default_transaction_isolation=serializable"
    planes = [make() for _ in range(3)]
    await asyncio.gather(*(append(plane, "log", *[b"x"] * 20) for plane in planes))
    assert (await planes[0].head("log")).position.offset == 60


@pytest.mark.parametrize(
    ("options", "server_side_cursors", "expected"),
    [
        ({}, True, True),
        ({"prepare_threshold": None}, True, False),
        ({}, False, False),
        ({"prepare_threshold": 0}, False, True),
    ],
)
async def test_statements_are_prepared_unless_django_is_told_of_a_pooler(
    make: Make,
    database: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    server_side_cursors: bool,
    expected: bool,
) -> None:
    database["OPTIONS"].update(options)
    monkeypatch.setitem(database, "DISABLE_SERVER_SIDE_CURSORS", not server_side_cursors)
    plane = make(POOL_SIZE=1)
    for _ in range(10):
        await plane.head("log")
    assert bool(await ask(plane, "SELECT count(*) FROM pg_prepared_statements")) is expected


@asynccontextmanager
async def picky_pooler(port: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """One that takes no startup parameter that it does not know, as pgbouncer does: the port that it listens on, and who came."""
    came: list[bytes] = []
    passed: set[asyncio.Task[None]] = set()
    ends: list[asyncio.StreamWriter] = []

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await source.read(65536):
                target.write(part)
        target.close()  # so that the other side ends, too

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        said = await reader.read(65536)
        while said[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # encryption? No.
            writer.write(b"N")
            said = await reader.read(65536)
        came.append(said)
        if b"\0options\0" in said:
            text = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            writer.write(b"E" + (len(text) + 4).to_bytes(4, "big") + text)
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ends.append(back)
        back.write(said)
        for task in (asyncio.create_task(pipe(reader, back)), asyncio.create_task(pipe(there, writer))):
            passed.add(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()
        for task in passed:
            task.cancel()
        await asyncio.gather(*passed, return_exceptions=True)
        for end in ends:
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()


SESSION = "SELECT count(*) FROM pg_settings WHERE source = 'session' AND name ~ 'timeout|isolation'"


async def test_no_setting_of_ours_stays_in_a_session_that_a_pooler_gives_to_others(
    make: Make, database: dict[str, Any]
) -> None:
    direct = make(TIMEOUT=5.0)
    await append(direct, "log", b"x")
    assert await ask(direct, "SHOW statement_timeout") == "4s"
    assert await ask(direct, SESSION) == 0
    async with picky_pooler(int(database["PORT"])) as (port, came):
        database["PORT"] = str(port)
        pooled = make(POOL_SIZE=1)
        await append(pooled, "log", b"y")
        assert await ask(pooled, SESSION) == 0
        assert await ask(pooled, "SHOW statement_timeout") == "0"
        assert any(b"options" in one for one in came)
        await pooled.close()


async def test_connections_that_nobody_uses_are_given_back_and_made_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("via_state.backplanes.postgres.connections.IDLE", 0.1)
    monkeypatch.setattr("via_state.backplanes.postgres.doorbell.IDLE", 0.1)
    plane, watcher = make(), make(POOL_SIZE=1)

    async def pid() -> int:
        async with plane._connections.use(write=False) as connection:
            await connection.execute("SELECT pg_sleep(0.05)")
            return connection.info.backend_pid

    pids = sorted(set(await asyncio.gather(*(pid() for _ in range(4)))))
    assert len(pids) == 4
    await append(plane, "log", b"x")
    await eventually(lambda: plane._notifier._connection is not None, "a doorbell")
    deadline = time.monotonic() + 20
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({', '.join(map(str, pids))})"
    while await ask(watcher, sessions):
        assert time.monotonic() < deadline, "they are still there"
        await asyncio.sleep(0.02)
    await eventually(lambda: plane._notifier._connection is None, "the end of the ringing connection")
    await append(plane, "log", b"y")
    await eventually(lambda: plane._notifier._connection is not None, "another doorbell")


async def test_options_that_the_project_gives_are_kept_beside_ours(make: Make, database: dict[str, Any]) -> None:
    database["OPTIONS"]["options"] = "-c work_mem=5MB"
    plane = make()
    assert await ask(plane, "SHOW work_mem") == "5MB"
    assert await ask(plane, "SHOW default_transaction_isolation") == "read committed"


async def test_the_second_host_is_tried_when_the_first_is_silent(make: Make, database: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database["HOST"] = f"{database['HOST']},{database['HOST']}"
        database["PORT"] = f"{silent.getsockname()[1]},{database['PORT']}"
        plane = make(CONNECT_TIMEOUT=2.0)
        await append(plane, "log", b"x")


async def test_the_second_address_of_a_host_is_tried_when_the_first_is_silent(
    make: Make, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, port = socket.getaddrinfo, int(database["PORT"])

    def two_addresses(host: Any, *more: Any, **named: Any) -> Any:
        if host != "two.addresses.test":
            return resolve(host, *more, **named)
        return [*resolve("127.0.0.2", *more, **named), *resolve("127.0.0.1", *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with socket.create_server(("127.0.0.2", port)):
        database["HOST"] = "two.addresses.test"
        plane = make(CONNECT_TIMEOUT=2.0)
        await append(plane, "log", b"x")


async def test_a_cancelled_call_stays_cancelled_when_the_connection_breaks(
    through_proxy: Proxy, make: Make
) -> None:
    plane = make(TIMEOUT=0.5)
    await append(plane, "log", b"x")
    through_proxy.freeze()
    call = asyncio.create_task(plane.append("log", new_id(), 1, b"y"))
    await eventually(lambda: bool(plane._connections._used), "the call")
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    through_proxy.thaw()


@pytest.mark.parametrize("receiver", [False, True])
async def test_no_page_about_an_error_shows_the_password(
    make: Make, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, receiver: bool
) -> None:
    monkeypatch.setitem(database, "PASSWORD", "hunter2")
    database["PORT"] = str(unused_tcp_port)
    ignore = lambda **_: None  # noqa: E731 - a receiver of the project's
    if receiver:
        connection_created.connect(ignore)
    with pytest.raises(BackplaneUnavailable, match="can't be reached") as caught:
        await make().head("log")
    connection_created.disconnect(ignore)
    error = caught.value.with_traceback(caught.tb.tb_next)  # without the frame of this test
    with override_settings(DEBUG=True, SECRET_KEY="x"):
        page = ExceptionReporter(None, type(error), error, error.__traceback__).get_traceback_html()
    assert "open_connection" in page
    assert "hunter2" not in page
