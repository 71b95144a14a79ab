"""``manage.py move_state``: from PostgreSQL to NATS, with everything that stands somewhere in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import override_settings
from django.utils.timezone import now

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from via_state import Delivery, Poison
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.bookkeeping.database import leases, tables
from via_state.core.records import GENESIS, Position
from via_state.management.base import counted
from via_state.models import DeadLetter, HandlerPosition, OutboxRecord, SnapshotRow
from via_state.pod.default import current_pod, use_settings
from via_state.pod.pod import Pod
from via_state.testing.conformance.harness import new_id

OLD = "via_state.backplanes.postgres.PostgresBackplane"
NEW = "via_state.backplanes.nats.NatsBackplane"

pytestmark = [
    pytest.mark.usefixtures("postgres", "nats"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True),
]


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop on PostgreSQL."""
    with shop_of("postgres", SNAPSHOT_INTERVAL=2) as made:
        yield made


@contextmanager
def same_prefix() -> Iterator[Pod]:
    """The pod of the settings, with the prefix of what is moved."""
    with use_settings():
        yield current_pod()


@contextmanager
def new_settings(shop: Shop) -> Iterator[Pod]:
    options = {"SERVERS": f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"}
    with (
        override_settings(VIA_STATE={**settings.VIA_STATE, "BACKEND": NEW, "OPTIONS": options}),
        same_prefix() as pod,
    ):
        yield pod


def move(*arguments: str) -> str:
    said = StringIO()
    call_command("move_state", OLD, *arguments, stdout=said)
    return said.getvalue()


def test_logs_cells_handlers_and_snapshots_continue_where_they_were(shop: Shop) -> None:
    got: list[tuple[int, str]] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 2:
            raise Poison("never")
        got.append((event.number, delivery.idempotency_key))

    worker = shop.work()
    shop.place(1, 2, 3)
    shop.settle(worker)
    shop.stop(worker)
    shop.place(4, shelf=7)
    shop.place(4)  # the handler has not had it
    old = shop.world.inner
    shop.world.run(old.cas("cell", None, b"kept"))
    shop.world.run(old.cas("short", None, b"kept", 1000.0))
    before = shop.world.run(old.read("orders", GENESIS))
    assert shop.log().read() == [1, 2, 3, 4]
    shop.world.flush(shop.pod)

    with new_settings(shop) as pod:
        assert isinstance(pod.backplane, NatsBackplane)
        assert "2 logs would be moved" in move("--dry-run")
        assert pod.thread.call(pod.backplane.logs()) == {}
        said = move()
        assert "2 logs with 5 records and 2 cells" in said, said
        assert move() == said.replace(
            said.rpartition("; ")[2], "0 snapshots, handler positions and dead letters continue there.\n"
        )
        after = pod.thread.call(pod.backplane.read("orders", GENESIS))
        ids = [(pack.id, pack.count, pack.data) for pack in after.packs]
        assert ids == [(pack.id, pack.count, pack.data) for pack in before.packs][-len(ids) :]
        cells = pod.thread.call(pod.backplane.cells())
        assert {key: one.data for key, one in cells.items()} == {"cell": b"kept", "short": b"kept"}
        assert 900 < (cells["short"].ttl or 0) <= 1000
        position = HandlerPosition.objects.using(POSTGRES_ALIAS).get(handler__prefix=shop.world.prefix)
        assert position.epoch == after.head.epoch
        third = after.packs[-2]
        assert Position(position.epoch, position.offset, position.record_id) == Position(
            after.head.epoch, third.last, third.record_id(third.last)
        )
        letter = DeadLetter.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix)
        assert letter.epoch == after.head.epoch
        assert {row.epoch for row in SnapshotRow.objects.using(POSTGRES_ALIAS).filter(key="orders")} == {
            after.head.epoch
        }
        assert shop.orders().using(pod).read() == [1, 2, 3, 4]
        shop.world.plane.inner = pod.backplane
        worker = shop.work()
        until(lambda: len(got) == 3)
        shop.stop(worker)
        shop.world.plane.inner = old
    assert [number for number, _ in got] == [1, 3, 4]
    assert len({key for _, key in got}) == 3


def test_a_compacted_log_keeps_its_floor_and_large_appends_are_parted(shop: Shop) -> None:
    old: PostgresBackplane = shop.world.inner
    log = shop.log()
    offsets = log.append_many([Placed(number) for number in range(3000)], wait=False)
    shop.place(3000, 3001)
    shop.world.run(old.compact("orders", offsets[1499]))
    with new_settings(shop) as pod:
        said = move()
        assert "1 log with 1,502 records" in said, said
        assert move() == said
        batch = pod.thread.call(pod.backplane.read("orders", GENESIS, 10_000))
        assert [pack.count for pack in batch.packs] == [1024, 952, 1, 1]
        first = batch.packs[0]
        assert batch.floor.offset - first.first == 1499 - 1024
        assert batch.floor.record_id == first.record_id(batch.floor.offset)


@pytest.mark.parametrize("floor", [1024, 2047, 2048, 2049, 3000])
def test_a_floor_between_the_parts_of_an_append(shop: Shop, floor: int) -> None:
    offsets = shop.log().append_many([Placed(number) for number in range(3000)], wait=False)
    shop.place(3000)
    shop.world.run(shop.world.inner.compact("orders", offsets[floor - 1]))
    with new_settings(shop) as pod:
        said = move()
        assert f"1 log with {counted(3001 - floor, 'record')} " in said, said
        assert move() == said
        batch = pod.thread.call(pod.backplane.read("orders", GENESIS, 10_000))
        assert sum(pack.last - max(pack.first - 1, batch.floor.offset) for pack in batch.packs) == 3001 - floor


def test_a_floor_without_its_record_is_there_as_well(shop: Shop) -> None:
    old: PostgresBackplane = shop.world.inner
    shop.world.run(old.append("log", new_id(), 3, b"[1,2,3]"))
    last = shop.world.run(old.append("log", new_id(), 2, b"[4,5]"))
    shop.world.run(old.compact("log", last.offset))
    shop.world.run(old.append("log", new_id(), 1, b"[6]"))
    with new_settings(shop) as pod:
        assert "1 log with 1 record " in move()
        batch = pod.thread.call(pod.backplane.read("log", GENESIS))
        assert batch.floor.record_id == last.record_id
        assert [pack.data for pack in batch.packs] == [b"[6]"]


def test_and_back_again_with_what_came_since(shop: Shop) -> None:
    shop.place(1, 2)
    with new_settings(shop) as pod:
        move()
        shop.orders().using(pod).append_many([Placed(3), Placed(4)], wait=False)
    arguments = [
        "--option",
        f"SERVERS=nats://127.0.0.1:{settings.NATS_PORT}",
        "--option",
        "TOKEN=env:VIA_TEST_NATS_TOKEN",
    ]
    said = StringIO()
    with override_settings(VIA_STATE={**settings.VIA_STATE, "BACKEND": OLD}), same_prefix() as pod:
        call_command("move_state", NEW, *arguments, stdout=said)
        assert shop.orders().using(pod).read() == [1, 2, 3, 4]
    assert "1 log with 4 records" in said.getvalue()


def test_it_refuses_while_somebody_is_at_work_and_what_it_can_not_use(shop: Shop) -> None:
    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None: ...

    worker = shop.work()
    with new_settings(shop):
        with pytest.raises(CommandError, match="A worker is running"):
            move()
        shop.stop(worker)
        tables.peers.create(
            id="web",
            host="web-1",
            pid=7,
            fingerprints={},
            events={},
            started_at=Now(),
            lease_until=leases.until(60),
        )
        with pytest.raises(CommandError, match="The process 7 on web-1 uses the state"):
            move()
        tables.peers.rows().delete()
        OutboxRecord.objects.using(POSTGRES_ALIAS).create(
            prefix=shop.world.prefix, lane=1, key_hash="", key="orders", count=1, data=b"[]", created=now()
        )
        with pytest.raises(CommandError, match="outbox is not empty"):
            move()
        with pytest.raises(CommandError, match="can't be imported"):
            call_command("move_state", "nowhere.Backplane")
        with pytest.raises(CommandError, match="not a backplane that keeps anything"):
            call_command("move_state", "via_state.backplanes.memory.MemoryBackplane")
        with pytest.raises(CommandError, match="Source and target are the same"):
            call_command("move_state", NEW)
        with pytest.raises(CommandError, match="NAME=VALUE"):
            move("--option", "PREFIX")
        with pytest.raises(CommandError, match="has no option 'SERVERS'"):
            move("--option", "SERVERS=x")


@pytest.mark.parametrize(
    "option",
    [
        "PASSWORD=hunter2",
        "TOKEN=hunter2",
        'PASSWORD="hunter2"',
        "SERVERS=nats://via:hunter2@10.0.0.1:4222",
        'SERVERS=["nats://hunter2@10.0.0.1"]',
        "hunter2",
        "PASSWORD=env:HUNTER2",
        'CREDENTIALS=["hunter2"]',
    ],
)
def test_a_secret_is_not_taken_from_the_command_line_nor_shown(shop: Shop, option: str) -> None:
    with (
        override_settings(VIA_STATE={**settings.VIA_STATE, "BACKEND": OLD}),
        same_prefix(),
        pytest.raises(CommandError, match=r"env:VARIABLE|no environment variable 'HUNTER2'|credentials") as caught,
    ):
        call_command("move_state", NEW, "--option", option)
    assert "hunter2" not in str(caught.value)


def test_a_secret_comes_from_the_environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD_SERVERS", f'["nats://127.0.0.1:{settings.NATS_PORT}"]')
    said = StringIO()
    monkeypatch.setenv("OLD_TOKEN", settings.NATS_TOKEN)
    arguments = ["--option", "SERVERS=env:OLD_SERVERS", "--option", "TOKEN=env:OLD_TOKEN", "--dry-run"]
    with override_settings(VIA_STATE={**settings.VIA_STATE, "BACKEND": OLD}), same_prefix():
        call_command("move_state", NEW, *arguments, stdout=said)
    assert "logs would be moved" in said.getvalue()


def test_records_of_its_own_are_not_written_over(shop: Shop) -> None:
    shop.place(1, 2)
    with new_settings(shop) as pod:
        pod.thread.call(pod.backplane.append("orders", new_id(), 1, b"[]"))
        with pytest.raises(CommandError, match="records of its own"):
            move()
