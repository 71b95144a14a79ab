"""A transaction that the database undid because of others runs again, and nobody is blamed for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import OperationalError, connections

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.test_after_commit import QUICK, write, written
from tests.handlers.test_commands import letters
from tests.handlers.test_replays import replay
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison, Retry
from via_state.handlers.execution import TRIES
from via_state.pod.default import use_pod

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)


@pytest.fixture
def site(durable_shop: Shop) -> Iterator[Shop]:
    """The shop is the process's own."""
    with use_pod(durable_shop.pod):
        yield durable_shop


def lose(code: str) -> None:
    """The server undoes the transaction, as it does when others were faster."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'others were faster' USING ERRCODE = '{code}'; END $$")


@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization", "deadlock"])
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "plain"])
def test_a_record_whose_transaction_loses_to_others_is_delivered_at_last(
    site: Shop, code: str, atomic: bool
) -> None:
    attempts: list[int] = []

    @site.orders().on_event("ship", atomic=atomic, retry=Retry(max_attempts=1))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) <= TRIES + 2:
            try:
                lose(code)
            except OperationalError as error:
                raise RuntimeError("what the project makes of it") from error
        write(1000 + event.number)

    worker = site.work()
    site.place(1, 2)
    site.settle(worker)
    until(lambda: written() == [1001, 1002])
    assert set(attempts) == {1}
    assert letters(site) == []


def test_two_transactions_that_lock_each_others_rows_both_commit(site: Shop) -> None:
    """A deadlock of the real kind, with the handler as the one that the server undoes."""
    write(1)
    write(2)
    other_has, handler_has = threading.Event(), threading.Event()

    def lock(cursor: object, lane: int) -> None:
        cursor.execute("SELECT 1 FROM via_state_outboxlane WHERE lane = %s FOR UPDATE", [lane])  # type: ignore[attr-defined]

    @site.orders().on_event("ship", atomic=True, retry=Retry(max_attempts=1))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '10ms'")
            lock(cursor, 1)
            handler_has.set()
            assert other_has.wait(60)
            lock(cursor, 2)
        write(1001)

    parameters = connections[POSTGRES_ALIAS].get_connection_params()
    with psycopg.connect(
        **{k: v for k, v in parameters.items() if k in ("dbname", "user", "password", "host", "port")}
    ) as other:
        lock(other.cursor(), 2)
        worker = site.work()
        site.place(1)
        assert handler_has.wait(60)
        other_has.set()
        lock(other.cursor(), 1)  # waits for the handler, which waits for this connection
    site.settle(worker)
    assert written() == [1001]
    assert letters(site) == []


def test_a_dead_letter_hook_and_a_replay_run_again_too(site: Shop) -> None:
    calls: list[str] = []

    def keep(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        calls.append("hook")
        if calls.count("hook") < 3:
            lose("40001")

    @site.orders().on_event("ship", atomic=True, retry=QUICK, dead_letter=keep)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        calls.append("run")
        if calls.count("run") == 1:
            raise Poison("no")
        if calls.count("run") < 4:
            lose("40P01")
        write(1001)

    worker = site.work()
    site.place(1)
    site.settle(worker)
    (letter,) = letters(site)
    assert calls == ["run", "hook", "hook", "hook"]
    site.stop(worker)
    assert replay(site, letter).done
    assert calls.count("run") == 4
    assert written() == [1001]
