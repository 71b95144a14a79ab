"""What an operator sees of the outbox, and does about it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from prometheus_client import CollectorRegistry

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod.board import Add, Board
from tests.pod.world import World, world_of
from via_state.bookkeeping.database import outbox as rows
from via_state.metrics.shared_truth import SharedTruth
from via_state.models import OutboxRecord
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

pytestmark = [
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


@pytest.fixture
def world() -> Iterator[World]:
    with world_of("postgres", OUTBOX_INTERVAL=0.1) as world:
        yield world


@pytest.fixture
def pod(world: World) -> Iterator[Pod]:
    with use_pod(world.start()) as pod:
        yield pod


def run(name: str, *arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=out, no_color=True, **options)
    return out.getvalue()


def set_aside(world: World, pod: Pod, number: int) -> OutboxRecord:
    """A record that was too large when it was relayed."""
    world.inner.max_append_bytes = 3
    rows.add(Board.numbers.key, 1, Board.numbers.definition.spec().events.encode([Add(number)]))
    pod.drain()
    world.inner.max_append_bytes = 1_000_000
    return OutboxRecord.objects.using(POSTGRES_ALIAS).filter(prefix=world.prefix).latest("pk")


@contextmanager
def away(world: World) -> Iterator[None]:
    """Nothing can be appended."""
    world.plane.fail("head", *[Fault.BEFORE] * 10_000)
    try:
        yield
    finally:
        world.plane.faults.clear()


def test_records_that_were_set_aside_are_relayed_again(world: World, pod: Pod) -> None:
    first, second = set_aside(world, pod, 1), set_aside(world, pod, 2)
    assert f"{first.pk}: tests.numbers: via_state.exceptions.AppendTooLarge" in run("replay_outbox", "--dry-run")
    assert "1 of 1 record relayed, 0 set aside again." in run("replay_outbox", "--id", str(second.pk))
    assert Board.numbers.using(pod).read() == [2]
    with pytest.raises(CommandError, match="no record"):
        run("replay_outbox", "--id", str(second.pk))
    world.inner.max_append_bytes = 3
    with pytest.raises(SystemExit):
        run("replay_outbox", "--key", "tests.numbers")
    first.refresh_from_db()
    assert first.status == OutboxRecord.Status.ASIDE
    assert "manage.py" in first.resolved_by
    world.inner.max_append_bytes = 1_000_000
    run("replay_outbox")
    assert Board.numbers.using(pod).read() == [2, 1]
    assert "0 records would be relayed" in run("replay_outbox", "--dry-run")


def test_state_status_shows_the_outbox_and_exits_with_1_when_something_waits_for_long(
    world: World, pod: Pod
) -> None:
    assert "Outbox" not in run("state_status")
    set_aside(world, pod, 1)
    assert "Outbox: 1 record set aside; see manage.py replay_outbox." in run("state_status")
    with away(world):
        rows.add(Board.numbers.key, 1, b"[]")
        assert "Outbox: 1 record waiting, the oldest for 0 s." in run("state_status")
        waiting = OutboxRecord.objects.using(POSTGRES_ALIAS).filter(status=OutboxRecord.Status.WAITING)
        waiting.update(created=Now() - timedelta(minutes=3))
        out, err = io.StringIO(), io.StringIO()
        with pytest.raises(SystemExit):
            call_command("state_status", "--json", stdout=out, stderr=err, no_color=True)
        assert json.loads(out.getvalue()) == []
        assert "the oldest for 3 minutes" in err.getvalue()
    wait_until(lambda: not waiting.exists(), "the relay")


def test_the_metrics_show_the_outbox(world: World, pod: Pod) -> None:
    set_aside(world, pod, 1)
    shown = CollectorRegistry()
    shown.register(SharedTruth())
    assert shown.get_sample_value("via_outbox_set_aside") == 1
    assert shown.get_sample_value("via_outbox_waiting") == 0
