"""Three NATS servers whose leader is killed while processes append."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import nats as nats_py
import pytest
from nats.aio.client import Client

from testproject.servers.nats import NatsCluster
from tests.cluster.shared_state import digest
from tests.cluster.test_chaos import answer, workers
from tests.conftest import server_folder
from via_state.backplanes.nats import NatsBackplane
from via_state.core.records import GENESIS, Position
from via_state.exceptions import BackplaneUnavailable

pytestmark = [pytest.mark.cluster, pytest.mark.drill]

KEY = "cluster.steps"
PROCESSES, APPENDS, KILLS = 4, 2500, 3
RESUME = 30.0  # seconds until appends continue after a leader was killed


@pytest.fixture
def cluster() -> Iterator[NatsCluster]:
    with server_folder() as folder:
        servers = NatsCluster(folder)
        servers.start()
        yield servers
        servers.stop()


async def wait_for(condition: Callable[[], Awaitable[bool]], what: str, timeout: float) -> float:
    """Seconds until it was true."""
    started = time.monotonic()
    while True:
        try:
            if await condition():
                return time.monotonic() - started
        except (BackplaneUnavailable, nats_py.errors.Error):
            pass
        assert time.monotonic() - started < timeout, f"{what} did not happen within {timeout:g} s"
        await asyncio.sleep(0.05)


async def leader_of(client: Client, stream: str) -> str | None:
    """The server that leads a stream, once all of its servers have all of it."""
    cluster = (await client.jetstream().stream_info(stream)).cluster
    whole = cluster is not None and all(one.current and not one.offline for one in cluster.replicas or [])
    return cluster.leader if whole and cluster is not None else None


async def stored_numbers(plane: NatsBackplane) -> list[tuple[int, int]]:
    """The log, as offsets and numbers."""
    found: list[tuple[int, int]] = []
    after = GENESIS
    while (batch := await plane.read(KEY, after)).packs:
        for pack in batch.packs:
            payloads = [payload["number"] for _, _, payload, *_ in msgspec.json.decode(pack.data)]
            found += [(pack.first + index, number) for index, number in enumerate(payloads)]
            after = Position(batch.head.epoch, pack.last, pack.record_id(pack.last))
    return found


async def kill_leaders(cluster: NatsCluster, plane: NatsBackplane, stream: str) -> list[float]:
    """Kill the stream's leader again and again, and bring it back; seconds until appends continued."""
    pauses = []

    async def moved(offset: int) -> bool:
        return (await plane.head(KEY)).position.offset > offset

    for _ in range(KILLS):
        await wait_for(lambda: moved(0), "the first append", 120)
        client = await nats_py.connect(cluster.urls)
        leaders: list[str] = []

        async def led(client: Client = client, leaders: list[str] = leaders) -> bool:
            leaders += [leader] if (leader := await leader_of(client, stream)) else []
            return bool(leaders)

        await wait_for(led, "a whole cluster", 60)
        await client.close()
        server = cluster.named(leaders[-1])
        before = (await plane.head(KEY)).position.offset
        server.process.signal(signal.SIGKILL)
        pauses.append(await wait_for(lambda at=before: moved(at), "an append", RESUME))  # type: ignore[misc]
        server.restart()  # in this thread: a server ends with the thread that started it
    return pauses


def test_every_acknowledged_append_is_there_once_although_leaders_are_killed(
    cluster: NatsCluster, postgres_environment: dict[str, str]
) -> None:
    prefix = uuid.uuid4().hex
    environment = {
        **postgres_environment,
        "VIA_NATS_SERVERS": ",".join(cluster.urls),
        "VIA_NATS_REPLICAS": "3",
    }
    options = {"SERVERS": cluster.urls, "PREFIX": prefix, "REPLICAS": 3, "TIMEOUT": 3.0}

    async def kill() -> list[float]:
        plane = NatsBackplane(options)
        try:
            return await kill_leaders(cluster, plane, f"{prefix}_log")
        finally:
            await plane.close()

    async def read() -> list[tuple[int, int]]:
        plane = NatsBackplane(options)
        try:
            return await stored_numbers(plane)
        finally:
            await plane.close()

    with workers("append", APPENDS, environment, prefix, PROCESSES) as started:
        pauses = asyncio.run(kill())
        answers = [answer(process) for process in started]
        stored = asyncio.run(read())
        for process in started:
            process.tell(str(stored[-1][0]))
        finals = [answer(process) for process in started]
    assert len(pauses) == KILLS
    assert sum(int(one["unknown"]) for one in answers) == 0  # type: ignore[call-overload]
    numbers = [number for _, number in stored]
    assert len(numbers) == len(set(numbers)) == PROCESSES * APPENDS
    for one in answers:
        acknowledged = {int(offset): number for offset, number in one["acknowledged"].items()}  # type: ignore[attr-defined]
        assert len(acknowledged) == APPENDS
        assert acknowledged.items() <= dict(stored).items()
    assert {one["digest"] for one in finals} == {digest(numbers)}
