"""The check for django-health-check, in each state of the world."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.db import connections
from django.test import Client, override_settings
from django.urls import path
from health_check.exceptions import HealthCheckException, ServiceUnavailable, ServiceWarning
from health_check.views import HealthCheckView

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, shop_of
from via_state import Delivery, health
from via_state.bookkeeping.database import halted_keys
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.contrib.health import ViaState
from via_state.pod.default import use_pod
from via_state.testing import pods

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


@pytest.fixture
def shop(postgres: object) -> Iterator[Shop]:
    with shop_of("postgres") as made, use_pod(made.pod):
        yield made


def result(check: ViaState | None = None) -> HealthCheckException | None:
    return asyncio.run((check or ViaState()).get_result()).error


def test_what_is_well_is_so_in_a_view_as_well(shop: Shop) -> None:
    class Urls:
        urlpatterns = [path("health/", HealthCheckView.as_view(checks=["via_state.contrib.health.ViaState"]))]

    assert result() is None
    with override_settings(ROOT_URLCONF=Urls):
        answer = Client().get("/health/", headers={"accept": "application/json"})
    assert (answer.status_code, "OK" in answer.content.decode()) == (200, True)


def test_what_needs_somebody_is_a_warning_without_any_data(shop: Shop) -> None:
    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        pass

    halted_keys._change("one", {}, {"shelf.secret": HaltReport("code", "of ann@example.com", 7)})
    error = result()
    assert isinstance(error, ServiceWarning)
    assert error.message == "keys are halted (D305); no worker is alive (D301). See manage.py state_overview."
    assert result(replace(ViaState(), cluster=False)) is None


def test_a_backplane_that_is_away_is_unavailable(shop: Shop) -> None:
    assert result() is None
    shop.world.plane.down = True
    wait_until(lambda: isinstance(result(), ServiceUnavailable), "the sweep that fails")
    shop.world.plane.down = False
    wait_until(lambda: result() is None, "the sweep that succeeds")


def test_books_that_can_t_be_read_are_a_warning(shop: Shop) -> None:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_deadletter RENAME TO elsewhere")
    try:
        error = result()
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO via_state_deadletter")
    assert isinstance(error, ServiceWarning)
    assert "can't be read: ProgrammingError" in error.message


def test_a_process_that_ends_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pods(1) as (pod,), use_pod(pod):
        assert result() is None  # in memory there are no books
        monkeypatch.setattr(health, "_draining", threading.Event())
        health.drain()
        assert isinstance(result(), ServiceUnavailable)
