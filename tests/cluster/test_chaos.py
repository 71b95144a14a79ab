"""Eight processes write to one key, and to many, while the connection to the database is cut and restored."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from testproject.servers.proxy import Proxy
from tests.cluster.child import Child
from tests.cluster.shared_state import LANES, Shared, digest
from tests.conftest import POSTGRES_ALIAS
from tests.volume import VOLUME
from via_state.backplanes.postgres import PostgresBackplane
from via_state.core.cells import CellCodec
from via_state.core.records import GENESIS, Position

PROCESSES = 8
WORK = 30_000  # bytes between two cuts: a few of the processes are connected, and write
APPENDS, UPDATES = 500 * VOLUME, 60 * VOLUME  # of each process
STEPS = 5 * VOLUME  # of each process, on each of many keys

pytestmark = [pytest.mark.cluster, pytest.mark.drill]


@contextmanager
def workers(
    job: str, count: int, database: dict[str, str], prefix: str, processes: int = PROCESSES
) -> Iterator[list[Child]]:
    """The processes, writing."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.cluster.settings", **database, "VIA_PREFIX": prefix}
    started = [
        Child("tests.cluster.chaos_worker", job, str(name), str(count), environment=environment)
        for name in range(processes)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.end()


@contextmanager
def cutting(proxy: Proxy, seed: int) -> Iterator[list[str]]:
    """Cut and restore the connection, again and again, as fast as the processes get to work; gives the list of what was done."""
    stop = threading.Event()
    chaos = random.Random(seed)
    done: list[str] = []

    def work() -> None:
        while not stop.wait(chaos.uniform(0.2, 0.8)):
            before = proxy.passed
            if chaos.random() < 0.6:
                proxy.sever()
                done.append("sever")
            else:
                proxy.cut()
                stop.wait(chaos.uniform(0.05, 0.6))
                proxy.restore()
                done.append("cut")
            while proxy.passed < before + WORK and not stop.wait(0.05):
                pass  # on a loaded machine nobody would ever be connected

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def proxied(postgres_environment: dict[str, str], postgres_proxy: Proxy) -> dict[str, str]:
    """The database, reached through the proxy."""
    return {**postgres_environment, "VIA_DATABASE_PORT": str(postgres_proxy.port)}


def answer(process: Child) -> dict[str, object]:
    """The next line that a worker prints."""
    return json.loads(process.answer())  # type: ignore[no-any-return]


def stored_numbers(prefix: str) -> list[int]:
    """The log, read from the tables by offset."""
    return stored(prefix, "cluster.steps")["cluster.steps"]


def stored_lanes(prefix: str) -> dict[str, list[int]]:
    """The logs of all lanes, by lane."""
    keys = {str(lane): Shared.lane.at(lane=lane).key for lane in range(LANES)}
    found = stored(prefix, *keys.values())
    return {lane: found[key] for lane, key in keys.items()}


def stored(prefix: str, *keys: str) -> dict[str, list[int]]:
    """The numbers in logs, read from the tables by offset."""

    async def read(plane: PostgresBackplane, key: str) -> list[int]:
        numbers: list[int] = []
        after = GENESIS
        while (batch := await plane.read(key, after)).packs:
            for pack in batch.packs:
                assert pack.first == len(numbers) + 1
                numbers += [payload["number"] for _, _, payload, *_ in msgspec.json.decode(pack.data)]
                after = Position("", pack.last, "")
        return numbers

    async def read_all() -> dict[str, list[int]]:
        plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        found = {key: await read(plane, key) for key in keys}
        await plane.close()
        return found

    return asyncio.run(read_all())


def stored_total(prefix: str) -> int:
    """The cell, read from its table."""

    async def read() -> int:
        plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        cell = await plane.load("cluster.total")
        await plane.close()
        assert cell is not None
        return CellCodec[int](int).decode(cell.data).value

    return asyncio.run(read())


def test_every_acknowledged_append_is_there_once_in_order(postgres_proxy: Proxy, proxied: dict[str, str]) -> None:
    prefix = uuid.uuid4().hex
    with workers("append", APPENDS, proxied, prefix) as started:
        with cutting(postgres_proxy, seed=1) as cuts:
            answers = [answer(process) for process in started]
        assert len(cuts) > 5
        numbers = stored_numbers(prefix)
        for process in started:
            process.tell(str(len(numbers)))
        finals = [answer(process) for process in started]
    assert sum(int(one["unknown"]) for one in answers) == 0  # type: ignore[call-overload]
    assert len(numbers) == len(set(numbers)) == PROCESSES * APPENDS
    for one in answers:
        acknowledged = {int(offset): number for offset, number in one["acknowledged"].items()}  # type: ignore[attr-defined]
        assert len(acknowledged) == APPENDS
        assert all(numbers[offset - 1] == number for offset, number in acknowledged.items())
        assert sorted(acknowledged.items()) == sorted(acknowledged.items(), key=lambda item: item[1])
    assert {one["digest"] for one in finals} == {digest(numbers)}


def test_every_append_to_many_keys_is_there_once_in_each_keys_order(
    postgres_proxy: Proxy, proxied: dict[str, str]
) -> None:
    prefix = uuid.uuid4().hex
    with workers("lanes", STEPS, proxied, prefix) as started:
        with cutting(postgres_proxy, seed=3) as cuts:
            answers = [answer(process) for process in started]
        assert len(cuts) > 1
    for lane, numbers in stored_lanes(prefix).items():
        assert len(numbers) == len(set(numbers)) == PROCESSES * STEPS
        for one in answers:
            mine: list[tuple[int, int]] = one[lane]  # type: ignore[assignment]
            assert [number for _, number in mine] == sorted(number for _, number in mine)
            assert [offset for offset, _ in mine] == sorted(offset for offset, _ in mine)
            assert all(numbers[offset - 1] == number for offset, number in mine)
            assert len(mine) == STEPS


def test_no_update_is_lost(postgres_proxy: Proxy, proxied: dict[str, str]) -> None:
    prefix = uuid.uuid4().hex
    with workers("update", UPDATES, proxied, prefix) as started:
        with cutting(postgres_proxy, seed=2) as cuts:
            answers = [answer(process) for process in started]
        assert len(cuts) > 5
        total = stored_total(prefix)
        for process in started:
            process.tell(str(total))
        assert {answer(process)["total"] for process in started} == {total}
    acknowledged = sum(int(one["acknowledged"]) for one in answers)  # type: ignore[call-overload]
    unknown = sum(int(one["unknown"]) for one in answers)  # type: ignore[call-overload]
    assert acknowledged + unknown == PROCESSES * UPDATES
    assert acknowledged <= total <= acknowledged + unknown
    assert unknown <= 10, "an outcome is hardly ever unknown: a cell remembers its latest writes"
