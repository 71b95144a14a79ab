"""Cells of a store that lost its last writes: it gives their revisions out again, for other writes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from testproject.servers.postgres import Postgres
from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS, server_folder
from tests.pod import backups
from tests.pod.board import Board
from tests.pod.test_lost_tail import sweep
from tests.pod.world import EVERY, STORED, World, kind_of, world_of
from via_state.core.records import Revision
from via_state.exceptions import BackplaneUnavailable
from via_state.pod.pod import Pod


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Its pods hear no doorbell, and sweep when a test says so."""
    with world_of(kind_of(request), RECONCILE_INTERVAL=3600.0) as made:
        made.plane.deaf = True
        yield made


def held(pod: Pod) -> Revision:
    """What the pod takes the cell to be at."""
    cell = pod.replicas.loaded_cell(Board.hits.key)
    assert cell is not None
    assert cell.stored is not None
    return cell.stored


def lose_a_write(world: World, pod: Pod) -> Pod:
    """The store goes back to 1 after ``pod`` wrote 100, and another pod, which is returned, writes 2 in its place."""
    hits = Board.hits
    hits.using(pod).set(1)
    sweep(pod)
    saved = world.run(backups.copy_of_cells(world))
    hits.using(pod).set(100)
    sweep(pod)
    world.run(backups.put_cells_back(world, saved))
    other = world.start()
    assert hits.using(other).update(lambda value: value + 1) == 2
    assert held(other).number == held(pod).number, "the case of this test"
    assert held(other) != held(pod)
    assert hits.using(pod).read() == 100, "nothing told it yet"
    return other


def test_a_pod_shows_what_the_store_has(world: World) -> None:
    pod = world.start()
    lose_a_write(world, pod)
    sweep(pod)
    wait_until(lambda: Board.hits.using(pod).read() == 2, "the value of the store")


def test_an_update_continues_from_what_the_store_has(world: World) -> None:
    pod = world.start()
    other = lose_a_write(world, pod)
    assert Board.hits.using(pod).update(lambda value: value + 10) == 12
    sweep(other)
    wait_until(lambda: Board.hits.using(other).read() == 12, "both writes")


def test_a_reset_does_not_take_the_one_for_the_other(world: World) -> None:
    pod = world.start()
    other = lose_a_write(world, pod)
    Board.hits.using(pod).reset()
    assert Board.hits.using(pod).read() == 0
    sweep(other)
    wait_until(lambda: Board.hits.using(other).read() == 0, "the reset")
    assert Board.hits.using(other).update(lambda value: value + 1) == 1


def test_a_cell_that_the_restored_store_has_not(world: World) -> None:
    pod = world.start()
    saved = world.run(backups.copy_of_cells(world))
    Board.hits.using(pod).set(100)
    sweep(pod)
    world.run(backups.put_cells_back(world, saved))
    assert Board.hits.using(pod).update(lambda value: value + 1) == 1
    assert Board.hits.using(pod).read() == 1


# A server that crashes ---------------------------------------------------------------------------------------

LAZY = {
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
    "autovacuum": "off",
}


@pytest.fixture
def crashing(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A server whose commits are not on the disk for ten seconds, behind the alias ``postgres``."""
    with server_folder() as folder:
        server = Postgres(folder / "postgres", passfile=postgres.passfile)
        server.process.command += [part for name, value in LAZY.items() for part in ("-c", f"{name}={value}")]
        server.start()
        try:
            with monkeypatch.context() as patch:
                connections[POSTGRES_ALIAS].close()
                patch.setitem(connections.databases[POSTGRES_ALIAS], "NAME", "postgres")
                patch.setitem(connections.databases[POSTGRES_ALIAS], "PORT", server.port)
                call_command("migrate", "via_state_postgres", database=POSTGRES_ALIAS, verbosity=0)
                yield server
                connections[POSTGRES_ALIAS].close()
        finally:
            server.stop()


@STORED
def test_postgresql_after_a_crash_with_lazy_commits(crashing: Postgres) -> None:
    with world_of("postgres", RECONCILE_INTERVAL=3600.0) as world:
        world.plane.deaf = True
        pod, hits = world.start(), Board.hits
        hits.using(pod).set(1)
        with psycopg.connect(crashing.dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        assert hits.using(pod).update(lambda value: value + 99) == 100
        lost = held(pod)
        crashing.process.kill()
        crashing.start()
        other = world.start()

        def again() -> bool:
            try:
                return hits.using(other).update(lambda value: value + 1) == 2
            except BackplaneUnavailable:
                return False

        wait_until(again, "an update after the crash")
        assert held(other).number == lost.number, "the case of this test"
        assert hits.using(pod).read() == 100, "nothing told it yet"
        assert hits.using(pod).update(lambda value: value + 10) == 12
        sweep(other)
        wait_until(lambda: hits.using(other).read() == 12, "both writes")
