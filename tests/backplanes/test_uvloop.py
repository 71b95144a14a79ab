"""The servers' clients on uvloop's event loop, where the network fails most: `UVLOOP`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop
from django.conf import settings

from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres
from testproject.servers.proxy import Proxy
from tests.backplanes.cutting import append_many_while_cut, append_while_cut, publish_while_cut
from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.base import Backplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown

P = TypeVar("P", bound=Backplane)


def on_uvloop(made: Callable[[], P], work: Callable[[P], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` with a backplane, which is closed after it."""

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            plane = made()
            stack.push_async_callback(plane.close)
            await work(plane)

    uvloop.run(run())


def on_postgres(prefix: str, **options: float) -> PostgresBackplane:
    return PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix, **options})


def test_cut_connections_to_postgresql_neither_lose_nor_double_appends(
    postgres: Postgres, through_proxy: Proxy, prefix: str
) -> None:
    async def work(plane: PostgresBackplane) -> None:
        assert await append_while_cut(plane, through_proxy, 1) == [*range(1, 241)]

    on_uvloop(lambda: on_postgres(prefix, TIMEOUT=2.0), work)


def test_a_silent_postgresql_is_hung_up_on(postgres: Postgres, through_proxy: Proxy, prefix: str) -> None:
    async def work(plane: PostgresBackplane) -> None:
        await plane.publish("topic", b"x")
        await plane.head("log")
        through_proxy.freeze()
        with pytest.raises(OutcomeUnknown):
            await plane.publish("topic", b"x")
        with pytest.raises(BackplaneUnavailable):
            await plane.head("log")
        through_proxy.thaw()
        await plane.publish("topic", b"x")
        await plane.head("log")

    on_uvloop(lambda: on_postgres(prefix, CONNECT_TIMEOUT=2.0, TIMEOUT=1.0), work)


def test_cut_connections_to_nats_neither_lose_nor_double_appends(
    nats: Nats, nats_proxy: Proxy, prefix: str
) -> None:
    cut = f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}"

    async def work(plane: NatsBackplane) -> None:
        await append_while_cut(plane, nats_proxy, 1)
        await append_many_while_cut(plane, nats_proxy)
        publisher = NatsBackplane({"SERVERS": nats.url, "PREFIX": prefix})
        try:
            await publish_while_cut(publisher, plane, nats_proxy)
        finally:
            await publisher.close()

    on_uvloop(lambda: NatsBackplane({"SERVERS": cut, "PREFIX": prefix, "TIMEOUT": 2.0}), work)
