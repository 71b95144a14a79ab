"""Processes that snapshot and compact one log together."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from django.conf import settings
from django.db import connections

from tests.cluster.child import Child
from tests.conftest import POSTGRES_ALIAS
from tests.volume import VOLUME
from via_state.models import SnapshotRow

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.drill,
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


class Worker(Child):
    """A process of `tests.cluster.snapshot_worker`."""

    def __init__(self, prefix: str, name: int, count: int) -> None:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
            "VIA_DATABASE_PORT": str(settings.POSTGRES_PORT),
            "VIA_DATABASE_NAME": connections[POSTGRES_ALIAS].settings_dict["NAME"],
            "VIA_PREFIX": prefix,
            "VIA_SNAPSHOTS": "eager",
        }
        super().__init__("tests.cluster.snapshot_worker", str(name), str(count), environment=environment)

    def found(self) -> object:
        return json.loads(self.answer())


Start: TypeAlias = Callable[[int, int], Worker]


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def start(prefix: str) -> Iterator[Start]:
    started: list[Worker] = []

    def start(name: int, count: int) -> Worker:
        started.append(Worker(prefix, name, count))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


def newest(prefix: str) -> SnapshotRow:
    return SnapshotRow.objects.using(POSTGRES_ALIAS).get(prefix=prefix)


def ends(prefix: str) -> tuple[int, int]:
    """Floor and head of the log."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT floor, last FROM via_state_log WHERE prefix = %s", [prefix])
        ((floor, head),) = cursor.fetchall()
        return int(floor), int(head)


def test_a_process_that_ends_leaves_a_snapshot_of_all_it_folded(prefix: str, start: Start) -> None:
    worker = start(1, 5)
    worker.answer()
    worker.tell("5")
    worker.answer()
    assert worker.process.wait(60) == 0
    assert newest(prefix).offset == 5


def test_processes_that_snapshot_compact_and_die_agree_and_so_does_one_that_starts_later(
    prefix: str, start: Start
) -> None:
    workers = [start(name, 150 * VOLUME) for name in range(4)]
    doomed = start(9, 100_000)
    for worker in workers:
        worker.answer()
    doomed.end()
    late = start(8, 0)
    late.answer()
    found = []
    for worker in (*workers, late):
        worker.tell(str(ends(prefix)[1]))
        found.append(worker.found())
        assert worker.process.wait(60) == 0
    assert all(one == found[0] for one in found)
    assert 0 < ends(prefix)[0] < newest(prefix).offset
