"""Workers that are killed, stopped, continued and cut off, while events come in."""

from __future__ import annotations

import os
import random
import signal
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from testproject.servers.ports import free_port
from testproject.servers.proxy import Proxy
from testproject.servers.waiting import wait_until, wait_while_it_moves
from tests.cluster.child import Child
from tests.cluster.handler_state import TABLE, Chaos, Step
from tests.conftest import POSTGRES_ALIAS
from tests.volume import VOLUME
from via_state.backplanes.base import Backplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.models import HandlerPosition, HandlerWorker
from via_state.pod.pod import Pod

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.drill,
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]

KEYS, EVENTS, WORKERS = 20, 4_000 * VOLUME, 3
HANDLERS = 3  # of each key
LEASE = 1.5
CHAOS = 12.0 * VOLUME  # seconds at most


# Every commit of a position, with the fence that it was made under, in the order of the row's lock.
_AUDIT = """
CREATE TABLE test_audit (id bigserial PRIMARY KEY, position bigint, fence bigint, log_offset bigint);
CREATE FUNCTION test_audited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO test_audit (position, fence, log_offset) VALUES (NEW.id, NEW.fence, NEW."offset"); RETURN NEW;
END $$;
CREATE TRIGGER test_audits AFTER UPDATE OF "offset" ON via_state_handlerposition
    FOR EACH ROW WHEN (NEW."offset" <> OLD."offset") EXECUTE FUNCTION test_audited();
"""
_NO_AUDIT = """
DROP TRIGGER test_audits ON via_state_handlerposition;
DROP FUNCTION test_audited();
DROP TABLE test_audit;
"""


@dataclass
class Plane:
    """Where the logs are, straight and through a network that can fail."""

    kind: str
    prefix: str
    database: Proxy
    nats: Proxy

    def environment(self, proxied: bool) -> dict[str, str]:
        """What a worker process needs to use it."""
        port = self.database.port if proxied else settings.POSTGRES_PORT
        found = {"VIA_DATABASE_PORT": str(port), "VIA_PREFIX": self.prefix}
        if self.kind == "nats":
            port = self.nats.port if proxied else settings.NATS_PORT
            found["VIA_NATS_SERVERS"] = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{port}"
        return found

    def open(self) -> Backplane:
        if self.kind == "nats":
            return NatsBackplane(
                {"SERVERS": f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}", "PREFIX": self.prefix}
            )
        return PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": self.prefix})

    def sever(self) -> None:
        self.database.sever()
        self.nats.sever()


@pytest.fixture(params=["postgres", "nats"])
def plane(request: pytest.FixtureRequest, postgres_proxy: Proxy, nats_proxy: Proxy) -> Iterator[Plane]:
    name = uuid.uuid4().hex
    with override_settings(VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": name}):
        yield Plane(request.param, name, postgres_proxy, nats_proxy)


@pytest.fixture
def effects() -> Iterator[None]:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {TABLE} (id bigserial PRIMARY KEY, handler text, key text, number int, log_offset bigint)"
        )
        cursor.execute(_AUDIT)
    yield
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(_NO_AUDIT)
        cursor.execute(f"DROP TABLE {TABLE}")


class Process(Child):
    """A worker process."""

    def __init__(self, plane: Plane, *arguments: str, proxied: bool = False) -> None:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
            **plane.environment(proxied),
            "VIA_DATABASE_NAME": connections[POSTGRES_ALIAS].settings_dict["NAME"],
            "VIA_LEASE": str(LEASE),
        }
        self.ended = False
        super().__init__("tests.cluster.handler_worker", "run_projectors", *arguments, environment=environment)

    def end(self) -> str:
        self.ended = True
        return super().end()


def written(handler: str) -> dict[str, list[int]]:
    """The offsets of a handler's effects by key, in the order in which they were written."""
    found: dict[str, list[int]] = defaultdict(list)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(f"SELECT key, log_offset FROM {TABLE} WHERE handler = %s ORDER BY id", [handler])
        for key, offset in cursor.fetchall():
            found[key].append(offset)
    return found


def commits() -> dict[int, list[tuple[int, int]]]:
    """Fences and offsets of each position, in the order of their commits."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT position, fence, log_offset FROM test_audit ORDER BY id")
        for position, fence, offset in cursor.fetchall():
            found[position].append((fence, offset))
    return found


def positions(plane: Plane) -> list[HandlerPosition]:
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS).filter(handler__prefix=plane.prefix)
    return list(rows.select_related("handler"))


def append(plane: Plane, events: int = EVENTS) -> dict[str, list[int]]:
    """The offsets of what was appended, by key."""
    pod = Pod(plane.open())
    offsets: dict[str, list[int]] = defaultdict(list)
    number = 0
    while number < events:
        for lane in range(KEYS):
            count = events // KEYS // 20
            log = Chaos.steps.at(lane=lane).using(pod)
            steps = [Step(number + index) for index in range(count)]
            offsets[f"chaos.{lane}"] += log.append_many(steps, wait=False)
            number += count
    pod.close()
    return offsets


@pytest.mark.timeout(1800)  # what it ends by is that nothing moves
def test_chaos_keeps_each_keys_order_and_every_effect_and_atomic_ones_exactly_once(
    plane: Plane, effects: None
) -> None:
    chance = random.Random(os.environ.get("VIA_TEST_SEED", "4"))
    workers = [Process(plane, proxied=True) for _ in range(WORKERS)]
    offsets: dict[str, list[int]] = {}
    try:
        offsets = append(plane)
        until = time.monotonic() + CHAOS
        while time.monotonic() < until and _left(plane, offsets):
            time.sleep(chance.uniform(0.2, 0.8))  # how long the world stays as it is
            index = chance.randrange(WORKERS)
            what = chance.choice(["kill", "stop", "sever"])
            if what == "kill":
                workers[index].end()
                workers[index] = Process(plane, proxied=True)
            elif what == "stop":
                workers[index].signal(signal.SIGSTOP)
                time.sleep(chance.choice([0.3, 2.2 * LEASE]))
                workers[index].signal(signal.SIGCONT)
            else:
                plane.sever()
        wait_while_it_moves(
            lambda: sum(one.offset for one in positions(plane)),
            lambda: not _left(plane, offsets),
            "the end of all deliveries",
        )
    except TimeoutError as error:
        left = [(one.key, one.offset, one.worker, one.last_error) for one in positions(plane)]
        raise AssertionError("\n".join([str(left), *(worker.explain() for worker in workers)])) from error
    finally:
        said = [worker.end() for worker in workers if not worker.ended]
    exact, plain, batched = written("exact"), written("plain"), written("batched")
    assert len(exact) == len(plain) == len(batched) == KEYS, said
    for key, every in offsets.items():
        assert exact[key] == every, "exactly once, in order"
        assert batched[key] == every, "exactly once, in order, many in a transaction"
        assert sorted(set(plain[key])) == every, "at least once"
        # A worker that was paused in the middle of a handler ends it late: a repetition may stand anywhere.
        first = list(dict.fromkeys(plain[key]))
        assert first == every, "first deliveries in order"
    audited = commits()
    rows = {one.pk: (one.handler.name, one.key) for one in positions(plane)}
    assert len(audited) == HANDLERS * KEYS
    assert len({fence for steps in audited.values() for fence, _ in steps}) > 1, "some were taken over"
    for position, steps in audited.items():
        assert steps == sorted(steps), "an older fence never commits after a newer one"
        (name, key), stored = rows[position], [offset for _, offset in steps]
        if name == "batched":
            assert stored == sorted(set(stored) & set(offsets[key])), "nor the same batch"
            assert len(stored) < len(offsets[key]), "many in a transaction"
            continue
        assert stored == offsets[key], "no two fences commit the same record"


def _left(plane: Plane, offsets: dict[str, list[int]]) -> int:
    """How many positions are not at their log's end."""
    return HANDLERS * KEYS - sum(one.offset == offsets[one.key][-1] for one in positions(plane))


def test_a_killed_process_is_taken_over_and_sigterm_drains(plane: Plane, effects: None) -> None:
    metrics_port = free_port()
    one = Process(plane)
    append(plane, 2000)
    wait_until(lambda: bool(positions(plane)), "the first deliveries")
    other = Process(plane, "--metrics-port", str(metrics_port))
    try:
        wait_until(lambda: _get(metrics_port, "/readyz") == 200, "the second worker")
        one.process.kill()
        offsets = append(plane, 2000)
        wait_until(lambda: not _left(plane, offsets), "the takeover", timeout=60)
        assert _get(metrics_port, "/metrics") == 200
        worker = HandlerWorker.objects.using(POSTGRES_ALIAS).get(prefix=plane.prefix, pid=other.process.pid).pk
        assert any(position.worker == worker for position in positions(plane))
        other.signal(signal.SIGTERM)
        assert other.process.wait(60) == 0
        # What the killed one had brought to its end stays in its name: nobody needs to take that over.
        assert not any(position.worker == worker for position in positions(plane))
    finally:
        one.end()
        assert "records" in other.end()


def test_until_caught_up_ends_by_itself(plane: Plane, effects: None) -> None:
    offsets = append(plane, 2000)
    worker = Process(plane, "--until-caught-up")
    status = worker.process.wait(60)
    said = worker.end()
    assert status == 0, said
    assert not _left(plane, offsets)


def _get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return int(answer.status)
    except OSError:
        return 0
