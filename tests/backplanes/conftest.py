"""PostgreSQL backplanes with rows of their own, straight to the server or through a network that can fail."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias

import nats as nats_py
import pytest
import pytest_asyncio
from django.db import connections
from nats.aio.client import Client

from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres
from testproject.servers.proxy import Proxy
from tests.conftest import POSTGRES_ALIAS, server_folder
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane

#: Makes a backplane over the test's rows; what is given replaces options.
Make: TypeAlias = Callable[..., PostgresBackplane]


@pytest.fixture
def prefix() -> str:
    """Each test has rows of its own."""
    return uuid.uuid4().hex


@pytest.fixture
def through_proxy(postgres_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """The alias ``postgres`` leads through the proxy."""
    monkeypatch.setitem(connections.databases[POSTGRES_ALIAS], "PORT", str(postgres_proxy.port))
    return postgres_proxy


@pytest_asyncio.fixture
async def make(postgres: Postgres, prefix: str) -> AsyncIterator[Make]:
    """Makes backplanes, and closes them after the test."""
    made: list[PostgresBackplane] = []

    def make(**options: object) -> PostgresBackplane:
        made.append(PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix, **options}))
        return made[-1]

    yield make
    for plane in made:
        await plane.close()


@pytest_asyncio.fixture
async def plane(make: Make) -> PostgresBackplane:
    """A backplane with the default options."""
    return make()


#: The same over a test's streams.
MakeNats: TypeAlias = Callable[..., NatsBackplane]


@pytest_asyncio.fixture
async def make_nats(nats: Nats, prefix: str) -> AsyncIterator[MakeNats]:
    """Makes backplanes on NATS, and closes them after the test."""
    made: list[NatsBackplane] = []

    def make(**options: object) -> NatsBackplane:
        made.append(NatsBackplane({"SERVERS": nats.url, "PREFIX": prefix, **options}))
        return made[-1]

    yield make
    for plane in made:
        await plane.close()


@pytest_asyncio.fixture
async def nats_client(nats: Nats) -> AsyncIterator[Client]:
    """An operator at the server."""
    connection = await nats_py.connect(nats.url)
    yield connection
    await connection.close()


@pytest.fixture
def own_server() -> Iterator[Nats]:
    """A server that a test may stop."""
    with server_folder() as folder:
        server = Nats(folder / "nats")
        server.start()
        yield server
        server.stop()
