"""PostgreSQL backplanes with rows of their own, straight to the server or through a network that can fail."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import pytest
import pytest_asyncio
from django.db import connections

from testproject.servers.postgres import Postgres
from testproject.servers.proxy import Proxy
from tests.conftest import POSTGRES_ALIAS
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
