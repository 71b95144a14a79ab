"""What is tried again for long, or is refused, is in sight: one warning, a metric, the row of the position, the status."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management.base import CommandError
from django.db import connections, transaction
from prometheus_client import REGISTRY

from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.handlers.observed import metric, position, recorder
from tests.handlers.test_commands import run
from tests.handlers.world import Placed, Shop, until
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, NotMigrated
from via_state.pod.default import use_pod
from via_state.runtime import outage
from via_state.runtime.database_errors import reaching


def retrying(what: str = "handler") -> float:
    return REGISTRY.get_sample_value("via_retrying", {"what": what}) or 0.0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is over at once."""
    monkeypatch.setattr(outage, "LONG", 0.0)


@pytest.fixture
def site(durable_shop: Shop) -> Iterator[Shop]:
    """The shop is the process's own."""
    with use_pod(durable_shop.pod):
        yield durable_shop


def warnings(caplog: pytest.LogCaptureFixture, begin: str) -> list[str]:
    return [
        one.getMessage()
        for one in caplog.records
        if one.levelno >= logging.WARNING and one.getMessage().startswith(begin)
    ]


def test_a_handler_that_can_not_read_for_long_is_in_sight_until_it_can(
    site: Shop, short: None, caplog: pytest.LogCaptureFixture
) -> None:
    got = recorder(site)
    site.settle(site.work())
    site.place(1)
    until(lambda: got == [1])
    site.world.plane.fail("read", *[Fault.BEFORE] * 1_000_000)
    site.place(2)
    until(lambda: position(site).stuck_since is not None)
    assert position(site).last_error.startswith("The log can't be read: ")
    assert "read: injected" in position(site).last_error
    assert position(site).attempts == 0, "no record failed"
    until(lambda: metric("via_consumer_stuck") > 3)
    assert retrying() == 1
    assert len(warnings(caplog, "The reading of 'orders' for the event handler ship")) == 1
    said = run("state_status")
    assert "event handler ship: blocked since" in said
    assert "The log can't be read" in said
    site.world.plane.faults.clear()
    until(lambda: got == [1, 2])
    until(lambda: position(site).stuck_since is None and position(site).last_error == "")
    until(lambda: metric("via_consumer_stuck") == 0 == retrying())


def test_what_was_in_sight_is_gone_also_where_there_is_nothing_to_deliver(site: Shop, short: None) -> None:
    """Another worker may be the one that can read again, at the head."""
    got = recorder(site)
    site.place(1)
    first = site.work()
    site.settle(first)
    site.world.plane.fail("read", *[Fault.BEFORE] * 1_000_000)
    site.place(2)
    until(lambda: position(site).stuck_since is not None)
    site.stop(first)
    rows = type(position(site)).objects.using(POSTGRES_ALIAS).filter(handler__prefix=site.world.prefix)
    rows.update(offset=2, record_id=site.head("orders").position.record_id)
    site.world.plane.faults.clear()
    site.work()
    site.place(3)
    until(lambda: got == [1, 3])
    assert (position(site).stuck_since, position(site).last_error) == (None, "")


def test_pauses_grow_while_a_handler_can_not_read(site: Shop) -> None:
    recorder(site)
    worker = site.work()
    site.settle(worker)
    site.world.plane.fail("read", *[Fault.BEFORE] * 1_000_000)
    site.place(1)

    def runner() -> object:
        return next(iter(worker._runners.values()), None)

    until(lambda: getattr(getattr(runner(), "_backoff", None), "attempts", 0) >= 8)


def test_a_worker_whose_database_refuses_it_ends_and_says_why(site: Shop) -> None:
    recorder(site)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_eventhandler RENAME TO via_state_eventhandler_away")
    try:
        with pytest.raises(CommandError, match=r"manage\.py migrate --database postgres") as raised:
            run("run_projectors", "--until-caught-up")
        assert raised.value.returncode == 2
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE via_state_eventhandler_away RENAME TO via_state_eventhandler")


def test_a_missing_right_is_in_sight_at_once_and_found_again(site: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """The table of the packs is away: the worker can look which logs moved, and read none."""
    got = recorder(site)
    worker = site.work()
    site.place(1)
    until(lambda: got == [1] and position(site).offset == 1)
    site.stop(worker)
    site.place(2)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_pack RENAME TO via_state_pack_away")
    try:
        site.work()
        until(lambda: "migrate" in position(site).last_error)
        assert retrying() >= 1
        with pytest.raises(NotMigrated):
            site.world.run(site.world.inner.read("orders", site.head("orders").position))
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE via_state_pack_away RENAME TO via_state_pack")
    until(lambda: got == [1, 2])
    until(lambda: position(site).last_error == "")
    until(lambda: retrying() == 0)
    assert warnings(caplog, "The reading of 'orders'")


@pytest.mark.parametrize(
    ("statement", "refused"),
    [
        ("SELECT nothing FROM nowhere", True),
        ("SELECT nothing()", True),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(2)", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'once' USING ERRCODE = '40001'; END $$", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '42501'; END $$", True),
    ],
    ids=["table", "function", "timeout", "serialization", "right"],
)
@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_what_the_database_refuses_for_good_is_no_outage(postgres: object, statement: str, refused: bool) -> None:
    with (
        pytest.raises(BackplaneUnavailable) as raised,
        reaching("positions of event handlers"),
        transaction.atomic(using=POSTGRES_ALIAS),
        connections[POSTGRES_ALIAS].cursor() as cursor,
    ):
        cursor.execute(statement)
    assert isinstance(raised.value, BackplaneRefused) == refused


@contextmanager
def not_migrated() -> Iterator[None]:
    """A table of the backplane is away."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_pack RENAME TO via_state_pack_away")
    try:
        yield
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE via_state_pack_away RENAME TO via_state_pack")


def test_catching_up_ends_where_a_server_refuses(site: Shop) -> None:
    site.place(1)
    with (
        not_migrated(),
        pytest.raises(CommandError, match=r"^Not caught up: .*manage\.py migrate --database postgres") as raised,
    ):
        run("run_projectors", "--until-caught-up")
    assert raised.value.returncode == 2


def test_a_read_that_is_refused_raises_at_once_and_works_again(site: Shop) -> None:
    first = site.log().append(Placed(1))
    log = site.orders().using(site.world.start())
    with not_migrated():
        calls = site.world.plane.calls.get("read", 0)
        for _ in range(3):
            with pytest.raises(NotMigrated):
                log.read(timeout=30)
            with pytest.raises(NotMigrated):
                log.read(at_least=first, timeout=30)
        assert log.status().position.offset == 0
        assert site.world.plane.calls["read"] - calls <= 6, "nobody waited for other attempts"

    def reads() -> bool:
        try:
            return log.read() == [1]
        except NotMigrated:
            return False

    until(reads)


def test_an_append_that_is_refused_raises_at_once(site: Shop) -> None:
    """It is not tried for `APPEND_TIMEOUT`."""
    site.place(1)
    calls = site.world.plane.calls["append"]
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_pack RENAME TO via_state_pack_away")
    try:
        with pytest.raises(BackplaneRefused):
            site.place(2)
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE via_state_pack_away RENAME TO via_state_pack")
    assert site.world.plane.calls["append"] - calls == 1
