"""Servers for the whole session, each started when a test first asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from django.test.utils import setup_databases
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from testproject.servers.accounts import shared_folder
from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres
from testproject.servers.proxy import Proxy
from testproject.servers.redis import Redis
from testproject.servers.waiting import wait_until
from tests import emptying
from via_state.core import text

#: Files that take a minute or more, the longest first.
LONG = (
    "tests/cluster/test_demo",
    "tests/test_tutorial",
    "tests/test_documentation_site",
    "tests/cluster/",
    "tests/pod/test_history",
    "tests/backplanes/test_nats",
    "tests/backplanes/test_postgres",
)
ROOT = Path(__file__).resolve().parent.parent
POSTGRES_ALIAS = "postgres"
emptying.install()
# How long an example takes says nothing: others work on the machine.
hypothesis_settings.register_profile("suite", deadline=None)
hypothesis_settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that all workers of pytest-xdist end together."""
    items.sort(
        key=lambda item: next((at for at, one in enumerate(LONG) if item.nodeid.startswith(one)), len(LONG))
    )


@pytest.fixture(autouse=True)
def said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another test made the log say is said again."""
    from via_state.bookkeeping.database import commits
    from via_state.logs import Sparing

    monkeypatch.setattr(commits, "_said", Sparing())


@pytest.fixture(scope="session", autouse=True)
def children_run_as_in_production() -> None:
    """`make test` runs the suite in Python's development mode; what a test starts is without it. On a worker of pytest-xdist, too."""
    os.environ.pop("PYTHONDEVMODE", None)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder that the account of a server may enter."""
    with tempfile.TemporaryDirectory(
        prefix="via-state-test-", dir=shared_folder(), ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


#: What is committed outlives a killed server, and need not outlive a machine without power.
UNSAFE = {"fsync": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The PostgreSQL behind the alias ``postgres``."""
    with server_folder() as folder:
        server = Postgres(folder / "postgres", settings.POSTGRES_PORT, options=UNSAFE)
        server.start()
        os.environ.update(PGPASSFILE=str(server.passfile))  # psycopg's, in this process and in its children
        yield server
        server.stop()
        del os.environ["PGPASSFILE"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres_server: Postgres) -> None:
    """pytest-django makes a test database on every alias, so the server must be there first."""


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    postgres_server: Postgres,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    """As pytest-django's. At the end no test has left a session in the database, which could not be dropped then."""
    yield
    with django_db_blocker.unblock():
        connections.close_all()
    left: list[tuple[str, str]] = []

    def nobody_is_left() -> bool:
        left[:] = server.execute(
            "SELECT application_name, query FROM pg_stat_activity WHERE datname LIKE 'test\\_%'"
        ).fetchall()
        return not left

    with psycopg.connect(postgres_server.dsn, autocommit=True) as server:
        try:
            wait_until(nobody_is_left, "the end of the sessions", timeout=10)
        except TimeoutError:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test\\_%'")
            # A test that failed keeps what it had open.
            assert request.session.testsfailed, f"sessions that no test has ended: {left}"


@pytest.fixture(scope="session")
def postgres(postgres_server: Postgres, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Postgres:
    """The server, with all tables in the test database of the alias ``postgres``."""
    if connections[POSTGRES_ALIAS].settings_dict["NAME"] == settings.POSTGRES_NAME:
        # pytest-django makes the databases that the tests' marks name, and this one is used without a mark as well.
        with django_db_blocker.unblock():
            setup_databases(verbosity=0, interactive=False, aliases={POSTGRES_ALIAS: None})
    return postgres_server


@pytest.fixture(scope="session")
def postgres_environment(postgres: Postgres) -> dict[str, str]:
    """What a child process needs to use the same database."""
    return {
        "VIA_DATABASE_PORT": str(postgres.port),
        "VIA_DATABASE_NAME": connections[POSTGRES_ALIAS].settings_dict["NAME"],
    }


@pytest.fixture
def postgres_proxy(postgres: Postgres) -> Iterator[Proxy]:
    """A way to the PostgreSQL server that can be cut."""
    with Proxy(postgres.port) as proxy:
        yield proxy


@contextmanager
def nats_with(config: str) -> Iterator[Nats]:
    """A NATS server of one's own, with this configuration."""
    with server_folder() as folder:
        path = folder / "nats.conf"
        path.write_text(config)
        server = Nats(folder / "nats", more=["-c", str(path)])
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    """A NATS server with JetStream."""
    with server_folder() as folder:
        server = Nats(folder / "nats", settings.NATS_PORT, token=settings.NATS_TOKEN)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def nats_proxy(nats: Nats) -> Iterator[Proxy]:
    """A way to the NATS server that can be cut."""
    with Proxy(nats.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis server."""
    with server_folder() as folder:
        server = Redis(folder / "redis")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def log_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What errors of the project say is in log lines, as with ``LOG_VALUES``."""
    monkeypatch.setattr(text, "show_values", lambda: True)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked: what an installation would hold. ``VIA_TEST_WHEEL`` names one that was built before."""
    folder = tmp_path_factory.mktemp("wheel")
    if (built := os.environ.get("VIA_TEST_WHEEL")) is None:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True)
        (built,) = map(str, folder.glob("*.whl"))
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"
