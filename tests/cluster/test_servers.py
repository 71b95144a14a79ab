"""The servers that the tests and the demo start."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import nats as nats_client
import psycopg
import pytest
import redis as redis_client

from testproject.servers import postgres as postgres_module
from testproject.servers.nats import Nats
from testproject.servers.ports import HOST, answers
from testproject.servers.postgres import Postgres
from testproject.servers.process import ServerError
from testproject.servers.redis import Redis
from testproject.servers.waiting import wait_until
from tests.cluster.processes import descendants, gone
from tests.conftest import server_folder


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with server_folder() as folder:
        server = Postgres(folder / "postgres")
        server.start()
        with psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE TABLE note (text text)")
        yield server
        server.stop()
        assert gone(server.process.pid)
        assert not answers(server.port)


def write(server: Postgres, text: str) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def notes(server: Postgres) -> set[str]:
    with psycopg.connect(server.dsn) as connection:
        return {text for (text,) in connection.execute("SELECT text FROM note")}


def test_postgres_is_the_version_and_encoding_that_we_say(server: Postgres) -> None:
    with psycopg.connect(server.dsn) as connection:
        assert connection.info.server_version // 10000 == 18
        assert connection.info.parameter_status("server_encoding") == "UTF8"
        settings: dict[str, str] = dict(
            connection.execute("SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'listen_addresses')")
        )
    assert settings == {"fsync": "on", "listen_addresses": HOST}


def test_postgres_never_runs_as_root(server: Postgres) -> None:
    assert os.stat(f"/proc/{server.process.pid}").st_uid != 0


def test_a_restart_of_postgres_keeps_port_and_data(server: Postgres) -> None:
    write(server, "restart")
    pid, port = server.process.pid, server.port
    server.restart()
    assert (server.process.pid != pid, server.port) == (True, port)
    assert "restart" in notes(server)


def test_postgres_recovers_from_a_crash_even_while_a_session_was_at_work(server: Postgres) -> None:
    write(server, "crash")
    with psycopg.connect(server.dsn, autocommit=True) as busy:
        other = threading.Thread(target=work, args=[busy])
        other.start()
        wait_until(lambda: at_work(server), "the query")
        server.kill()
        server.start()
        assert "crash" in notes(server)
        other.join()


def test_postgres_that_cannot_stop_in_time_leaves_no_child(server: Postgres) -> None:
    started = descendants(server.process.pid)
    assert started
    for pid in started:
        os.kill(pid, signal.SIGSTOP)  # as on a disk that takes for ever
    server.process.stop(timeout=0.2)
    assert all(gone(pid) for pid in [server.process.pid, *started])
    server.start()


def work(connection: psycopg.Connection) -> None:
    with suppress(psycopg.OperationalError):  # it may still answer: it notices after the query
        connection.execute("SELECT count(*) FROM generate_series(1, 5000000)")


def at_work(server: Postgres) -> bool:
    with psycopg.connect(server.dsn) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE query ~ 'series' AND pid <> pg_backend_pid()"
        )
        return found.fetchone() is not None


def test_two_postgres_servers_never_share_a_folder(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "PATIENCE", 0.1)
    with pytest.raises(ServerError, match=rf"postmaster.pid(.|\n)*{server.process.pid}"):
        Postgres(server.folder).start()
    assert server.process.running


def test_a_half_made_data_folder_is_made_again() -> None:
    with server_folder() as folder:
        half = folder / "postgres" / "data.new"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        server = Postgres(folder / "postgres")
        server.start()
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.stop()


async def test_nats_keeps_its_streams_over_a_restart() -> None:
    with server_folder() as folder:
        server = Nats(folder / "nats")
        server.start()
        client = await nats_client.connect(server.url)
        await client.jetstream().add_stream(name="notes", subjects=["note"])
        await client.jetstream().publish("note", b"kept")
        await client.close()
        server.restart()
        client = await nats_client.connect(server.url)
        assert (await client.jetstream().get_msg("notes", 1)).data == b"kept"
        await client.close()
        server.process.signal(signal.SIGKILL)
        wait_until(lambda: not server.process.running, "the end of NATS")
        server.stop()


def test_redis_answers_or_says_what_to_install() -> None:
    with server_folder() as folder:
        server = Redis(folder / "redis")
        try:
            server.start()
        except ServerError as error:
            assert "install redis-server" in str(error)  # noqa: PT017 - no wheel has one for this Python
            return
        with redis_client.Redis.from_url(server.url) as client:
            assert client.ping()
        server.restart()
        with redis_client.Redis.from_url(server.url) as client:
            assert client.ping()
        server.stop()
        assert not answers(server.port)
