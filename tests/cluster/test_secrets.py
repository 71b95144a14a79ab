"""Nobody but the account that started them uses the servers of the tests and of the demo."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres
from testproject.servers.process import ServerError
from testproject.servers.redis import Redis
from testproject.servers.secret import secret
from testproject.web_pod import PROJECT


@pytest.mark.parametrize("login", ["", "password=guessed", "passfile=/dev/null"])
def test_postgres_refuses_who_does_not_know_the_password(
    postgres_server: Postgres, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSFILE")
    monkeypatch.setenv("HOME", "/nonexistent")
    address = f"host={postgres_server.host} port={postgres_server.port} user=postgres dbname=postgres"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"{address} {login}")
    with psycopg.connect(postgres_server.dsn) as connection:
        rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
    assert rules == [("scram-sha-256",)]


@pytest.mark.parametrize("login", ["{}", '{"auth_token": "guessed"}'])
def test_nats_refuses_who_does_not_know_the_token(nats: Nats, login: str) -> None:
    with socket.create_connection((nats.host, nats.port)) as connection, connection.makefile("rwb") as lines:
        assert b'"auth_required":true' in lines.readline()
        lines.write(f"CONNECT {login}\r\nPING\r\n".encode())
        lines.flush()
        assert lines.readline() == b"-ERR 'Authorization Violation'\r\n"


@pytest.mark.parametrize("login", ["", ":guessed@"])
def test_redis_refuses_who_does_not_know_the_password(redis: Redis, login: str) -> None:
    refused = pytest.raises(redis_client.RedisError, match=r"(?i)auth|password")
    with redis_client.Redis.from_url(f"redis://{login}{redis.host}:{redis.port}/0") as client, refused:
        client.ping()


def test_passwords_are_in_files_of_this_account_and_in_no_argument(
    postgres_server: Postgres, nats: Nats, redis: Redis
) -> None:
    for path in (postgres_server.passfile, nats.folder / "nats.conf", redis.folder / "redis.conf"):
        about = path.stat()
        assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o600, os.geteuid()), path
    password = postgres_server.passfile.read_text().strip().rpartition(":")[2]
    for process in (postgres_server.process, nats.process, redis.process):
        for word in (password, nats.token, redis.password):
            assert len(word) > 20
            assert word not in " ".join(process.command)


def test_a_server_under_another_account_keeps_no_group_of_this_one(postgres_server: Postgres) -> None:
    if postgres_server.account is None:  # it runs as we do
        assert os.geteuid() != 0
        return
    found = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{postgres_server.process.pid}/status").read_text().splitlines()
        if line.startswith(("Uid:", "Gid:", "Groups:"))
    )
    account = postgres_server.account
    assert found["Uid"].split() == [str(account.pw_uid)] * 4
    assert found["Gid"].split() == [str(account.pw_gid)] * 4
    assert found["Groups"].split() in ([], [str(account.pw_gid)])


def test_data_whose_password_is_gone_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "postgres/data").mkdir(parents=True)
    (tmp_path / "postgres/data/PG_VERSION").write_text("18")
    with pytest.raises(ServerError, match="Remove that folder"):
        Postgres(tmp_path / "postgres").start()


def test_a_secret_is_made_once_and_refused_when_others_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "made/secret"
    first = secret(path, "a:{}")
    assert first == secret(path) == path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret(tmp_path / "other") not in first
    path.chmod(0o640)
    with pytest.raises(ServerError, match="another account"):
        secret(path)


def test_each_checkout_has_a_key_of_its_own(tmp_path: Path) -> None:
    show = [sys.executable, "-c", "from testproject import settings; print(settings.SECRET_KEY)"]
    environment = {key: value for key, value in os.environ.items() if key != "VIA_SECRET_KEY"}

    def key(name: str) -> str:
        found = {**environment, "VIA_SECRET_KEY_FILE": str(tmp_path / name)}
        return subprocess.run(
            show, env=found, cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert key("one") == key("one") == (tmp_path / "one").read_text().strip()
    assert key("other") != key("one")
    assert len(key("one")) > 40
