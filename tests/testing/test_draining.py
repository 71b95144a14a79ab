"""Event handlers run when a test asks, on its thread, in its transaction."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import TestCase, override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Placed
from tests.testing.test_isolation import run
from via_state import Delivery, Offset, Poison, Retry, RetryAfter, State, StateAppEvents, current_pod
from via_state.declarations.registry import registry
from via_state.testing import StateTestMixin, adrain, drain, make_delivery, memory_pod, settings_pod
from via_state.testing import draining as module


class Shop:
    """Declared again for each test."""

    orders: StateAppEvents[Placed]
    shelf: StateAppEvents[Placed]
    shipped: StateAppEvents[Placed]


@pytest.fixture(autouse=True)
def shop() -> Iterator[None]:
    with registry.isolated():

        class Declared(State):
            orders = StateAppEvents(Placed, key="orders")
            shelf = StateAppEvents(Placed, key="shelf.{shelf}")
            shipped = StateAppEvents(Placed, key="shipped")

        Shop.orders, Shop.shelf, Shop.shipped = Declared.orders, Declared.shelf, Declared.shipped
        with memory_pod():
            yield


def shipping(**options: Any) -> list[tuple[int, int]]:
    """Declare a handler that ships; the numbers and attempts that it has had."""
    got: list[tuple[int, int]] = []

    @Shop.orders.on_event("ship", **options)
    def ship(event: Placed, delivery: Delivery) -> None:
        got.append((event.number, delivery.attempt))
        if event.number < 0 and delivery.attempt < 3:
            raise LookupError("no stamps")

    return got


def test_nothing_is_handled_before_the_test_asks() -> None:
    got = shipping()
    Shop.orders.append(Placed(1))
    current_pod().drain()
    assert got == []
    drain()
    drain()
    assert got == [(1, 1)], "each record once"


@pytest.mark.django_db
def test_a_handler_in_a_test_case_sees_its_rows_and_is_rolled_back() -> None:
    threads = set()

    @Shop.orders.on_event("ship", atomic=True)
    def ship(event: Placed, delivery: Delivery) -> None:
        threads.add(threading.current_thread())
        Group.objects.create(name=f"shipped to {Group.objects.get().name}")

    class Case(StateTestMixin, TestCase):
        def test_it(self) -> None:
            Group.objects.create(name="home")
            Shop.orders.append(Placed(1))
            self.drain()
            assert Group.objects.filter(name="shipped to home").exists()
            assert connection.in_atomic_block

        def test_it_again(self) -> None:
            self.test_it()

    run(Case)
    assert threads == {threading.current_thread()}


@pytest.mark.django_db
@pytest.mark.parametrize("atomic", [True, False])
def test_what_handlers_leave_for_the_commit_follows_in_the_same_drain(atomic: bool) -> None:
    @Shop.orders.on_event("ship", atomic=atomic)
    def ship(event: Placed, delivery: Delivery) -> None:
        Shop.shipped.append_on_commit(event)

    got: list[int] = []

    @Shop.shipped.on_event("tell")
    async def tell(event: Placed, delivery: Delivery) -> None:
        got.append(event.number)

    class Case(StateTestMixin, TestCase):
        def test_it(self) -> None:
            Shop.orders.append_many([Placed(1), Placed(2)])
            with self.captureOnCommitCallbacks(execute=True) as hooks:
                self.drain()
            assert hooks == [], "they ran already"
            assert Shop.shipped.read() == [1, 2]

    run(Case)
    assert got == [1, 2]


def test_an_error_of_a_handler_is_the_tests_and_the_next_drain_is_the_next_attempt() -> None:
    got = shipping()
    Shop.orders.append_many([Placed(1), Placed(-2), Placed(3)])
    for _ in range(2):
        with pytest.raises(LookupError, match="no stamps"):
            drain()
    drain()
    assert got == [(1, 1), (-2, 1), (-2, 2), (-2, 3), (3, 1)]


def test_a_handler_that_asks_for_time_is_asked_again_by_the_next_drain() -> None:
    asked: list[int] = []

    @Shop.orders.on_event("ship")
    def ship(event: Placed, delivery: Delivery) -> None:
        asked.append(event.number)
        if len(asked) == 1:
            raise RetryAfter(3600)

    Shop.orders.append(Placed(1))
    with pytest.raises(RetryAfter):
        drain()
    drain()
    assert asked == [1, 1]


def test_what_is_given_up_goes_to_dead_letter() -> None:
    given_up: list[str] = []

    def hook(event: Placed, delivery: Delivery, error: Exception) -> None:
        given_up.append(str(error))

    got = shipping(retry=Retry(max_attempts=1), dead_letter=hook)

    @Shop.orders.on_event("refuse", dead_letter=hook)
    def refuse(event: Placed, delivery: Delivery) -> None:
        raise Poison("no such street")

    Shop.orders.append_many([Placed(-1), Placed(2)])
    drain()
    assert got == [(-1, 1), (2, 1)]
    assert sorted(given_up) == ["no stamps", "no such street", "no such street"]


def test_handlers_that_never_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @Shop.orders.on_event("again")
    def again(event: Placed, delivery: Delivery) -> None:
        Shop.orders.append(event)

    monkeypatch.setattr(module, "MOST", 20)
    Shop.orders.append(Placed(1))
    with pytest.raises(RuntimeError, match="Does 'again' append to 'orders'"):
        drain()


def test_a_discarded_beginning_is_passed_and_a_new_history_is_told() -> None:
    got = shipping()
    pod = current_pod()
    Shop.orders.append(Placed(1))
    second = Shop.orders.append(Placed(2))
    Shop.orders.append(Placed(3))
    pod.thread.call(pod.backplane.compact("orders", second))
    drain()
    assert got == [(3, 1)]
    pod.thread.call(pod.backplane.drop("orders"))
    Shop.orders.append(Placed(4), wait=False)
    with pytest.raises(RuntimeError, match="would halt 'ship' on 'orders'"):
        drain()


async def test_an_async_test_drains_as_well() -> None:
    got = shipping()
    await Shop.orders.aappend(Placed(1))
    await adrain()
    assert got == [(1, 1)]


@pytest.mark.usefixtures("postgres", "nats")
@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
@pytest.mark.parametrize("kind", ["postgres", "nats"])
def test_handlers_run_on_a_durable_backplane(kind: str, settings: Any) -> None:
    got = shipping(atomic=True)
    options = {"SERVERS": f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"} if kind == "nats" else {}
    backend = {"postgres": "postgres.PostgresBackplane", "nats": "nats.NatsBackplane"}[kind]
    using = {"BACKEND": f"via_state.backplanes.{backend}", "OPTIONS": options, "DATABASE": POSTGRES_ALIAS}
    with override_settings(VIA_STATE=using), settings_pod() as pod:
        Shop.orders.append_on_commit(Placed(1))
        Shop.shelf.at(shelf="a.b").append(Placed(9))
        drain(pod)
    assert got == [(1, 1)]


def test_a_handler_alone_is_given_a_delivery() -> None:
    delivery = make_delivery(Shop.shelf.at(shelf="a.b"), handler="stock", offset=7, attempt=2)
    assert (delivery.handler, delivery.key, delivery.offset, delivery.attempt) == ("stock", "shelf.a~2Eb", 7, 2)
    assert delivery.parameters == {"shelf": "a.b"}
    assert isinstance(delivery.offset, Offset)
    assert delivery.offset.epoch == delivery.epoch
    again = dataclasses.replace(delivery, attempt=3)
    assert again.idempotency_key == delivery.idempotency_key != make_delivery().idempotency_key
    assert make_delivery(Shop.orders).key == "orders"


PROJECT = """
    from dataclasses import dataclass
    from django.contrib.auth.models import Group
    from django.test import TestCase, TransactionTestCase
    from via_state import Delivery, State, StateAppEvents
    from via_state.testing import StateTestMixin, drain

    @dataclass(frozen=True)
    class Placed:
        number: int

        def fold(self, numbers: list[int]) -> list[int]:
            return [*numbers, self.number]

    class Orders(State):
        log = StateAppEvents(Placed, key="orders")

    @Orders.log.on_event("ship")
    def ship(event: Placed, delivery: Delivery) -> None:
        Group.objects.create(name=f"shipped {event.number}")

    class Plain(TestCase):
        def test_it(self):
            Orders.log.append(Placed(1))

    class Durable(StateTestMixin, TransactionTestCase):
        state_backplane = "settings"

        def test_it(self):
            assert not Orders.log.read() and not Group.objects.count()
            Orders.log.append(Placed(1))
            Orders.log.append_on_commit(Placed(2))
            self.drain()
            assert Orders.log.read() == [1, 2] and Group.objects.count() == 2

        def test_it_again(self):
            self.test_it()
"""


def test_a_run_of_djangos_runner_over_postgresql_ends_well(
    postgres_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "test_shop.py").write_text(textwrap.dedent(PROJECT))
    environment = {
        **os.environ,
        **postgres_environment,
        # A database of its own is made beside it.
        "VIA_DATABASE_NAME": "runner",
        "VIA_PREFIX": "runner",
        "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
        "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{tmp_path}",
    }
    command = [sys.executable, "-m", "django", "test", "--noinput", "test_shop"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 3 tests" in done.stderr
