"""What becomes of a running worker when its database is emptied, restored, or a standby from one moment to the next."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from testproject.servers.ports import free_port
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import position, recorder
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Retry
from via_state.handlers import known_keys
from via_state.models import EventHandler, HandlerPosition, HandlerWorker
from via_state.runtime.servers import database, servers

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
TABLES: tuple[Any, ...] = (EventHandler, HandlerPosition, HandlerWorker)


def test_a_worker_registers_again_when_the_database_was_emptied(durable_shop: Shop) -> None:
    shop = durable_shop
    got = recorder(shop, start="head")
    shop.settle(shop.work())
    shop.place(1)
    until(lambda: got == [1])
    for table in reversed(TABLES):
        table.objects.using(POSTGRES_ALIAS).all().delete()
    until(lambda: EventHandler.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix, ready=True).exists())
    shop.place(2)
    until(lambda: got == [1, 2])
    until(lambda: position(shop).offset == 2)


def test_a_worker_goes_back_to_where_a_restored_database_says_it_was(durable_shop: Shop) -> None:
    shop = durable_shop
    got = recorder(shop)
    worker = shop.work()
    shop.place(1)
    until(lambda: position(shop).offset == 1 and position(shop).in_flight_offset == 0)
    backup = [list(table.objects.using(POSTGRES_ALIAS).all()) for table in TABLES]
    shop.place(2, 3)
    until(lambda: got == [1, 2, 3])
    lease = worker._lease_until
    until(lambda: worker._lease_until > lease)
    for table in reversed(TABLES):
        table.objects.using(POSTGRES_ALIAS).all().delete()
    for table, rows in zip(TABLES, backup, strict=True):
        table.objects.using(POSTGRES_ALIAS).bulk_create(rows)
    until(lambda: got == [1, 2, 3, 2, 3])
    shop.place(4)
    until(lambda: got == [1, 2, 3, 2, 3, 4])


@pytest.fixture
def lasting_connections() -> Iterator[None]:
    """``CONN_MAX_AGE = None`` and health checks, which a standby passes."""
    settings = connections[POSTGRES_ALIAS].settings_dict
    before = {name: settings[name] for name in ("CONN_MAX_AGE", "CONN_HEALTH_CHECKS")}
    settings.update(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    yield
    settings.update(before)


def stand_by() -> None:
    """What a session is that survived a failover: it answers, and writes nothing."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")


def test_a_worker_whose_sessions_write_nothing_any_more_finds_the_primary(
    durable_shop: Shop, lasting_connections: None
) -> None:
    shop = durable_shop
    got = recorder(shop)
    worker = shop.work(concurrency=1)
    shop.place(1)
    until(lambda: got == [1])
    for threads in (worker._control, worker._claiming, worker.threads):
        shop.world.run(threads.run(stand_by))
    shop.place(2)
    until(lambda: got == [1, 2])
    until(worker.has_lease)
    before = worker._lease_until
    until(lambda: worker._lease_until > before)


def test_a_handler_of_a_database_that_became_a_standby_gets_a_new_connection(
    durable_shop: Shop, lasting_connections: None
) -> None:
    """Also where the positions are elsewhere, so that nothing else meets the error."""
    shop, got = durable_shop, list[int]()

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max=0.02))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            if event.number == 1 and delivery.attempt == 1 and not got:
                got.append(0)
                stand_by()
            cursor.execute("DELETE FROM via_state_outboxlane WHERE lane = 1000")
        got.append(event.number)

    shop.work()
    shop.place(1)
    until(lambda: got == [0, 1])


def test_a_worker_knows_the_keys_that_it_met_last_and_handles_all(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "KEYS", 5)
    got: list[str] = []

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery.key)

    worker = shop.work()
    for number in (1, 2):
        for shelf in range(12):
            shop.place(number, shelf=shelf)
        until(lambda: len(got) == 12 * number)  # noqa: B023
    assert len(worker._keys._keys) <= 5
    watched = worker._reconciler._wanted
    assert len(watched) <= 5 + 1, "and the log without parameters"


def test_a_server_that_goes_away_and_comes_back_is_told_once(
    durable_shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweeps, the lease and the outbox all need it."""
    shop = durable_shop
    got = recorder(shop)
    shop.settle(shop.work())
    name, settings = database(POSTGRES_ALIAS), connections[POSTGRES_ALIAS].settings_dict
    port = settings["PORT"]
    with caplog.at_level(logging.INFO):
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            settings["PORT"] = str(free_port())
            try:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                until(lambda: len(servers.parts(name)) >= 2)
            finally:
                settings["PORT"] = port
        until(lambda: not servers.parts(name))
        shop.place(1)
        until(lambda: got == [1])
    said = [one.getMessage() for one in caplog.records if one.levelno >= logging.INFO]
    (away,) = [one for one in said if " away" in one]
    (back,) = [one for one in said if "again, after" in one]
    assert away.startswith(f"{name} is away, and what needs it is tried again until it answers: ")
    assert back.startswith(f"{name} answers again, after ")
