"""What metrics show of all processes, in drills whose truth the test knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models.functions import Now
from prometheus_client import REGISTRY, CollectorRegistry

from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from via_state import Delivery, Poison
from via_state.bookkeeping.database import leases, tables
from via_state.bookkeeping.peers import Code
from via_state.conf import DEFAULTS
from via_state.metrics.shared_truth import SharedTruth
from via_state.pod.default import use_pod

OLDEST = "via_consumer_oldest_timestamp_seconds"


@pytest.fixture(params=["postgres", "nats"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """The process's own, on each durable backplane."""
    request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with shop_of(request.param) as made, use_pod(made.pod):
        yield made


def looked(metric: str, /, **labels: str) -> float | None:
    """A figure of now."""
    registry = CollectorRegistry()
    registry.register(SharedTruth())
    return registry.get_sample_value(metric, labels)


def of(metric: str, /, **labels: str) -> float | None:
    return looked(metric, name="ship", key="orders", **labels)


def age() -> float:
    """Of the oldest event that the handler has not had; 0 where there is none."""
    at = of(OLDEST)
    return 0.0 if at is None else time.time() - at


def test_the_age_of_the_oldest_undelivered_event_is_right_in_every_state(shop: Shop) -> None:
    got: list[int] = []
    broken: list[bool] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if broken:
            raise RuntimeError("the carrier is away")
        got.append(event.number)

    worker = shop.work()
    shop.place(1, 2, 3)
    until(lambda: got == [1, 2, 3])
    shop.settle(worker)
    assert age() == 0  # it keeps up
    began = placed = time.time()
    number = 3
    while time.time() - began < 3:
        before, placed, number = placed, time.time(), number + 1
        shop.place(number)
        assert age() <= time.time() - before + 1  # also while there is always something new
        until(lambda number=number: got[-1] == number)  # type: ignore[misc]
    shop.settle(worker)
    assert age() == 0
    got[:] = [1, 2, 3]

    broken.append(True)
    began = time.time()
    shop.place(4, 5)
    until(lambda: of("via_consumer_positions", state="stuck") == 1)
    assert abs(age() - (time.time() - began)) < 1  # it is stuck

    shop.kill(worker)
    until(lambda: looked("via_workers", state="alive") == 0)
    assert looked("via_workers", state="lost") == 1
    assert abs(age() - (time.time() - began)) < 1  # no worker lives
    shop.place(6)
    assert abs(age() - (time.time() - began)) < 1

    other = shop.work()
    until(lambda: of("via_consumer_positions", state="stuck") == 1)
    assert abs(age() - (time.time() - began)) < 1  # it is taken over
    broken.clear()
    until(lambda: got == [1, 2, 3, 4, 5, 6])
    shop.settle(other)
    assert age() == 0
    assert of("via_consumer_positions", state="stuck") == 0


def test_events_that_a_handler_does_not_want_do_not_wait_for_it(shop: Shop) -> None:
    @shop.orders().on_event("ship", Cancelled)
    def ship(event: Cancelled, delivery: Delivery) -> None:
        pass

    shop.stop(shop.work())
    shop.place(1, 2, 3)
    assert of(OLDEST) is None
    began = time.time()
    shop.log().append(Cancelled(1), wait=False)
    shop.place(4)
    assert abs(age() - (time.time() - began)) < 1


def test_a_log_of_a_family_that_nobody_has_begun_waits_from_its_first_event(shop: Shop) -> None:
    @shop.shelf().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        pass

    shop.stop(shop.work())
    began = time.time()
    for shelf in range(5):
        shop.place(1, shelf=shelf)
    at = looked(OLDEST, name="ship", key="shelf.{shelf}")
    assert at is not None
    assert abs(at - began) < 1


def test_the_first_dead_letter_is_seen_and_shows_when_it_was_given_up(shop: Shop) -> None:
    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 2:
            raise Poison("never")

    worker = shop.work()
    assert of("via_deadletters_waiting") == 0
    assert of("via_deadletters_oldest_timestamp_seconds") is None
    began = time.time()
    shop.place(1, 2, 3)
    until(lambda: of("via_deadletters_waiting") == 1)
    at = of("via_deadletters_oldest_timestamp_seconds")
    assert at is not None
    assert began - 1 < at < time.time() + 1
    shop.settle(worker)
    tables.dead_letters.rows().update(status="discarded")
    assert of("via_deadletters_waiting") == 0


def all_of(metric: str) -> dict[tuple[str, ...], float]:
    """Every figure of now, by the values of its labels."""
    (found,) = [one for one in SharedTruth().collect() if one.name == metric]
    return {tuple(one.labels.values()): one.value for one in found.samples}


def test_processes_are_counted_by_what_they_do_and_by_their_code(shop: Shop) -> None:
    shop.log().read()
    until(lambda: sum(all_of("via_pods").values()) == 1)
    ((role, release),) = all_of("via_pods")
    (row,) = tables.peers.rows()
    assert (role, release) == (row.roles or "state", Code(row.fingerprints, row.events).release)
    tables.peers.create(
        id="another",
        host="another",
        pid=1,
        fingerprints={"orders": "of other code"},
        roles="event handlers",
        started_at=Now(),
        lease_until=leases.until(60),
    )
    assert {one for one, _ in all_of("via_pods")} == {role, "event handlers"}
    assert len({one for _, one in all_of("via_pods")}) == 2
    tables.peers.rows().filter(id="another").update(lease_until=row.started_at)
    assert list(all_of("via_pods")) == [(role, release)]


def test_what_keeps_the_records_of_logs_is_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.operations.pinned.FRESH", 0.0)
    monkeypatch.setitem(DEFAULTS, "SNAPSHOT_INTERVAL", 1)
    monkeypatch.setitem(DEFAULTS, "COMPACT_MIN_AGE", 0)

    def pinned(by: str) -> float | None:
        return looked("via_floor_pinned_logs", key="orders", by=by)

    def snapshots() -> None:
        for number in range(4):
            shop.log().read(at_least=shop.log().append(Placed(number)))
            shop.world.flush(shop.pod)

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        pass

    snapshots()
    assert (pinned("age"), pinned("handler")) == (1, None)
    worker = shop.work()
    shop.settle(worker)
    shop.stop(worker)
    snapshots()
    assert (pinned("age"), pinned("handler")) == (None, 1)


def test_a_truth_that_can_t_be_read_is_not_shown_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [RuntimeError("away"), RuntimeError("away"), {"via_outbox_waiting": {(): 7.0}}]

    def look() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry = CollectorRegistry()
    truth = SharedTruth(look)
    registry.register(truth)

    def errors() -> float:
        return REGISTRY.get_sample_value("via_collector_errors_total") or 0.0

    before = errors()
    for _ in range(2):
        assert registry.get_sample_value("via_outbox_waiting") is None
        truth._until = 0.0
    assert errors() - before == 2
    assert [one.levelname for one in caplog.records if one.name == "via_state.metrics"] == ["WARNING"]
    assert registry.get_sample_value("via_outbox_waiting") == 7
    assert registry.get_sample_value("via_outbox_waiting") == 7  # of the same look
