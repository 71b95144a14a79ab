"""A deploy that can't read what is stored, and its rollback: the whole drill, with a worker, snapshots and compaction."""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import call_command

from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import KEY, World, world_of
from via_state import Delivery, State, StateAppEvents
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.bookkeeping.database.positions import RowPositions
from via_state.core.specs import LogSpec
from via_state.declarations.catalog import handled_logs
from via_state.declarations.registry import registry
from via_state.handlers.worker import Worker
from via_state.models import DeadLetter
from via_state.pod.reading.reconciler import Reconciler

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


@dataclass(frozen=True)
class Paid:
    amount: int

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class PaidInACurrency:
    """A new field that what is stored does not have."""

    amount: int
    currency: str
    event_name = "Paid"

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class PaidEnough:
    """The same fields, and a rule that what is stored does not keep."""

    amount: int
    event_name = "Paid"

    def __post_init__(self) -> None:
        if self.amount < 50:
            raise ValueError("too small")

    def fold(self, total: int) -> int:
        return total + self.amount


def append(world: World, *amounts: int) -> None:
    data = b",".join(b'["Paid",1,{"amount":%d}]' % amount for amount in amounts)
    world.run(world.plane.append(KEY, uuid.uuid4().hex, len(amounts), b"[" + data + b"]"))


class Deployed:
    """One version of the code in production: a pod, a worker, and the mails that its handler has sent."""

    def __init__(self, world: World, event: type[Any], mails: list[int]) -> None:
        class Shop(State):
            log = StateAppEvents(event, key=KEY)

        @Shop.log.on_event("mail")
        def mail(event: Any, delivery: Delivery) -> None:
            mails.append(event.amount)

        self.spec: LogSpec[Any] = Shop.log.definition.spec()
        self._world = world
        self.pod = world.start()
        self._reconciler = Reconciler(world.plane)
        self._worker = Worker(self._reconciler, RowPositions(), handled_logs())
        world.run(self._reconciler.start())
        world.run(self._worker.start())

    def value(self) -> Any:
        return self.pod.read(KEY, self.spec)

    def work(self) -> None:
        """Deliver all, snapshot, and do what ``manage.py compact_state`` does, several times."""
        for _ in range(3):
            self._world.run(self._worker.settle())
            self.value()
            self._world.flush(self.pod)
            epoch = self._world.head().position.epoch
            pin = self._world.run(self.pod.snapshots.decide(KEY, epoch, self.spec))
            if pin.offset:
                self._world.run(self._world.plane.compact(KEY, pin.offset, epoch))

    def end(self) -> None:
        self._world.run(self._worker.stop())
        self._world.run(self._reconciler.stop())
        self._world.stop(self.pod)


@pytest.fixture(params=["postgres", "nats"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with world_of(request.param, RECONCILE_INTERVAL=0.1) as made:
        yield made


@contextlib.contextmanager
def deployed(world: World, event: type[Any], mails: list[int]) -> Iterator[Deployed]:
    with registry.isolated():
        code = Deployed(world, event, mails)
        try:
            yield code
        finally:
            code.end()


def replay(*options: str) -> str:
    out = io.StringIO()
    call_command("replay_dead_letters", *options, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("mistake", [PaidInACurrency, PaidEnough])
def test_a_deploy_that_could_not_read_the_log_is_rolled_back_without_loss(
    world: World, mistake: type[Any]
) -> None:
    mails: list[int] = []
    with deployed(world, Paid, mails) as old:
        for _ in range(15):
            append(world, *[100] * 10)
            old.work()
        assert old.value() == 15_000
    assert world.head().floor.offset > 0
    append(world, *[40] * 50)
    before = len(mails)

    with deployed(world, mistake, mails) as new:
        new.work()
        assert new.value() == 15_000, "what the code before has folded"
        letters = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=world.prefix)
        assert {one.reason for one in letters} == {DeadLetter.Reason.UNREADABLE}
        assert "It can't be decoded: " in replay("--dry-run")
        with pytest.raises(SystemExit):
            replay()
        assert letters.filter(status=DeadLetter.Status.NEW).count() == 50

    with deployed(world, Paid, mails) as back:
        back.work()
        assert back.value() == 17_000
        assert "50 of 50 dead letters replayed, 0 failed." in replay()
        append(world, 40)
        back.work()
        assert back.value() == 17_040
    assert (before, mails) == (150, [100] * 150 + [40] * 51)
