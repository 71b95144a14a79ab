"""What operators see of logs, and do to them."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import World, world_of
from via_state import State, StateAppEvents
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.bookkeeping.database import peers as peer_rows
from via_state.bookkeeping.peers import Peer
from via_state.declarations.registry import registry
from via_state.exceptions import KeyHalted
from via_state.models import HaltedKey, SnapshotRow
from via_state.operations.peers import peers
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

pytestmark = [
    pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True),
    pytest.mark.usefixtures("postgres"),
]


@dataclass(frozen=True, slots=True)
class Add:
    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [*numbers, self.number]


@dataclass(frozen=True, slots=True)
class Add2:
    number: int
    event_name = "Add"

    def fold(self, numbers: dict[str, int]) -> dict[str, int]:
        return {**numbers, str(self.number): self.number}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    with world_of("postgres", RECONCILE_INTERVAL=0.05) as made:
        yield made


@pytest.fixture
def pod(world: World) -> Iterator[Pod]:
    with registry.isolated(), use_pod(world.start()) as pod:
        yield pod


def feed(pod: Pod, count: int = 5) -> Any:
    """A declared log, and a family, of which all but the last records were discarded."""

    class Feed(State):
        items = StateAppEvents(Add, key="items")
        room = StateAppEvents(Add, key="room.{room}")

    for log in (Feed.items, Feed.room.at(room=7)):
        for number in range(count):
            log.read(at_least=log.append(Add(number)))
            pod.thread.call(pod.snapshots.flush())
    return Feed


def run(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def status(*arguments: str) -> dict[str, Any]:
    found = json.loads(run("state_status", "--json", *arguments))
    return {one["key"]: one for one in found}


def test_status_shows_every_log(pod: Pod) -> None:
    feed(pod)
    found = status()
    assert found.keys() == {"items", "room.7"}
    assert found["items"]["head"] == found["items"]["snapshot"] == 5
    assert found["items"]["floor"] == found["items"]["pinned_at"] == 4
    assert found["items"]["tail"] == 0
    assert found["items"]["snapshot_age"] < 60
    text = run("state_status")
    assert "2 logs, 0 of them halted." in text
    assert "the snapshot before the newest one" in text


def test_a_report_goes_by_the_clock_of_the_database(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.VIA_STATE, "COMPACT_MIN_AGE", 3600)
    feed(pod)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    found = status()["items"]
    assert found["snapshot_age"] < 60
    assert found["pinned_at"] == 0
    assert "0 of 2 logs" in run("compact_state", "--dry-run")


def test_status_shows_the_parameters_of_a_key(pod: Pod) -> None:
    declared = feed(pod)
    assert (status()["items"]["parameters"], status()["room.7"]["parameters"]) == ({}, {"room": "7"})
    declared.room.at(room="a.b").append(Add(1))
    assert status()["room.a~2Eb"]["parameters"] == {"room": "a.b"}
    assert "    room = 'a.b'\n" in run("state_status")


def test_status_of_some_logs(pod: Pod) -> None:
    feed(pod)
    assert status("--key", "items").keys() == {"items"}
    assert status("--key", "room.{room}").keys() == {"room.7"}
    with pytest.raises(CommandError, match=r"There is no log 'item'\. Did you mean items\?"):
        run("state_status", "--key", "item")


def test_status_says_what_stands_still_and_fails(world: World, pod: Pod) -> None:
    feed(pod)
    with registry.isolated():

        class Feed(State):
            items = StateAppEvents(Add2, key="items", version=2)

        other = world.start()
        with pytest.raises(KeyHalted):
            Feed.items.using(other).read()
        halts = HaltedKey.objects.using(POSTGRES_ALIAS).filter(prefix=world.prefix)
        wait_until(lambda: halts.exists(), "the halt is written down")
        out = io.StringIO()
        with pytest.raises(SystemExit) as exit_:
            call_command("state_status", "--json", "--halted", stdout=out)
        assert exit_.value.code == 1
        (found,) = json.loads(out.getvalue())
        assert found["halted"][0]["pod"] == other.pod_id
        assert found["halted"][0]["reason"] == "code"
        assert "migration (1, 2) is not registered" in found["halted"][0]["text"]
        world.stop(other)
        assert not halts.exists()
        assert status()


def test_compact_discards_what_became_compactable_while_nothing_was_folded(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.VIA_STATE, "COMPACT_MIN_AGE", 3600)
    feed(pod)
    assert "0 records (0 bytes) discarded in 0 of 2 logs." in run("compact_state")
    monkeypatch.setitem(settings.VIA_STATE, "COMPACT_MIN_AGE", 0)
    assert status()["items"]["floor"] == 0
    said = run("compact_state", "--key", "items", "--dry-run")
    assert "would be discarded in 1 of 1 log" in said
    assert "items: 1 record " in said
    assert status()["items"]["floor"] == 0
    said = run("compact_state", "-v2")
    assert "discarded in 2 of 2 logs" in said
    assert status()["items"]["floor"] == 1
    assert "0 records (0 bytes) discarded in 0 of 2 logs." in run("compact_state")


def test_code_that_is_retired_no_longer_keeps_records(world: World, pod: Pod) -> None:
    feed(pod)
    old = SnapshotRow.objects.using(POSTGRES_ALIAS).get(prefix=world.prefix, key="items").fingerprint
    with pytest.raises(CommandError, match="is the code that runs this command"):
        run("retire_snapshots", old)
    with ExitStack() as stack:
        stack.enter_context(registry.isolated())

        class Feed(State):
            items = StateAppEvents(Add2, key="items", version=2)

        @Feed.items.migration(1, 2)
        def migrate(numbers: list[int]) -> dict[str, int]:
            return {str(number): number for number in numbers}

        world.stop(pod)
        new = world.start()
        stack.enter_context(use_pod(new))
        for number in range(10, 15):
            Feed.items.using(new).append(Add2(number))
            Feed.items.using(new).read()
            new.drain()
            world.flush(new)
        assert status("--key", "items")["items"]["floor"] == 5, "the old code keeps the rest"
        assert old in run("state_status")
        assert "1 snapshot of code" in run("retire_snapshots", old, "--dry-run")
        said = run("retire_snapshots", old)
        assert "1 snapshot of code" in said, "not the room's, which no other code covers"
        assert "1 snapshot kept" in said
        Feed.items.using(new).append(Add2(20))
        new.drain()
        world.flush(new)
        assert status("--key", "items")["items"]["floor"] > 5
        with pytest.raises(CommandError, match="No snapshot is of code 'nonsense'"):
            run("retire_snapshots", "nonsense")
        assert "version 2, 1 log  (this code)" in run("retire_snapshots")


def test_a_key_that_passed_over_a_record_is_listed_until_it_can_be_read(world: World, pod: Pod) -> None:
    items = feed(pod).items
    data = b'[["Add",1,{"number":"x"}]]'
    world.run(world.inner.append("items", uuid.uuid4().hex, 1, data))
    assert items.read(at_least=items.append(Add(9))) == [0, 1, 2, 3, 4, 9]
    halts = HaltedKey.objects.using(POSTGRES_ALIAS).filter(prefix=world.prefix)
    wait_until(lambda: halts.filter(key="items", reason="unreadable").exists(), "the row of the key")
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("state_status", stdout=out)
    assert "HALTED (unreadable)" in out.getvalue()
    assert "this code can't decode the record at offset 6, so the value lacks it" in out.getvalue()


def test_commands_say_that_memory_is_out_of_their_sight() -> None:
    for command in ("state_status", "compact_state"):
        with pytest.raises(CommandError, match="memory backplane"):
            run(command)


def test_a_check_finds_code_that_cannot_continue_from_the_stored_snapshots(pod: Pod) -> None:
    feed(pod)
    assert _bridges() == []
    with registry.isolated():

        class Unversioned(State):
            items = StateAppEvents(Add2, key="items")

        (problem,) = _bridges()
        assert problem.id == "via_state.E015"
        assert "version=2" in str(problem.hint)
    with registry.isolated():

        class Unbridged(State):
            items = StateAppEvents(Add2, key="items", version=3)

        assert [one.id for one in _bridges()] == ["via_state.E016"]

        Unbridged.items.migration(1, 2)(dict)
        Unbridged.items.migration(2, 3)(dict)
        assert _bridges() == []


def _bridges() -> list[Any]:
    found = run_checks(tags=["database"], databases=[POSTGRES_ALIAS])
    return [one for one in found if str(one.id).startswith("via_state.")]


async def listed(pod: Pod) -> None:
    await pod.services.start()
    await pod.peer._renew()


def test_the_processes_are_shown(world: World, pod: Pod) -> None:
    other = world.start()
    for one in (pod, other):
        world.run(listed(one))
    world.run(other.books.peers.renew(Peer("dead", "elsewhere", 4711, ("event handlers",)), -1.0))
    said = run("state_status", "--peers")
    assert "2 of 3 alive." in said
    dead = next(line for line in said.splitlines() if "4711" in line)
    assert "gone since" in dead
    assert "event handlers" in dead
    shown = {one["id"]: one for one in json.loads(run("state_status", "--peers", "--json"))}
    assert [shown[one]["alive"] for one in (pod.pod_id, other.pod_id, "dead")] == [True, True, False]
    assert set(shown["dead"]) >= {"host", "pid", "roles", "doorbell", "fingerprints", "events", "lease_until"}
    other.close()
    assert other.pod_id not in run("state_status", "--peers")


def test_a_renewal_is_one_statement(world: World, pod: Pod) -> None:
    peer = Peer("here", "host", 1)
    peer_rows._renew(peer, 10.0)
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as captured:
        peer_rows._renew(peer, 10.0)
    assert len(captured) == 1


def test_pods_in_memory_know_each_other() -> None:
    with world_of("memory") as world:
        one, other = world.start(), world.start()
        for pod in (one, other):
            world.run(listed(pod))
        assert {known.peer.id for known in peers(one)} == {one.pod_id, other.pod_id}
        other.close()
        assert {known.peer.id for known in peers(one)} == {one.pod_id}
