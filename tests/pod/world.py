"""Pods that come and go over one store: in memory, with offsets that have gaps, PostgreSQL or NATS."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.faults import FaultyBackplane
from tests.sparse import SparseBackplane
from via_state import State, StateAppEvents
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.core.records import GENESIS, LogBounds
from via_state.core.specs import LogSpec
from via_state.declarations.registry import registry
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop

KEY = "tests.history"
#: What a test needs that uses PostgreSQL; parameters of a fixture for all kinds of stores.
STORED = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
EVERY = ["memory", pytest.param("postgres", marks=STORED), pytest.param("nats", marks=STORED)]


def kind_of(request: pytest.FixtureRequest) -> str:
    """The kind of store that a fixture was asked for, memory if it does not say; its servers are there."""
    kind: str = getattr(request, "param", "memory")
    if kind != "memory":
        request.getfixturevalue("postgres")
    if kind == "nats":
        request.getfixturevalue("nats")
    return kind


def declared(
    *events: type[Any], migrations: dict[tuple[int, int], Callable[[Any], Any]] | None = None, **options: Any
) -> LogSpec[Any]:
    """One version of the code: the spec of a log that it declares under `KEY`."""
    with registry.isolated():

        class Code(State):
            log: StateAppEvents[Any] = StateAppEvents(*events, **{"key": KEY, **options})

        for (before, after), function in (migrations or {}).items():
            Code.log.migration(before, after)(function)
        return Code.log.definition.spec()


class World:
    """What outlives the pods, and the pods that are alive."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.prefix = uuid.uuid4().hex
        options: dict[str, Any] = {"DATABASE": POSTGRES_ALIAS, "PREFIX": self.prefix}
        if kind == "nats":
            options["SERVERS"] = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"
        planes: dict[str, Callable[[Any], Backplane]] = {
            "memory": MemoryBackplane,
            "sparse": SparseBackplane,
            "postgres": PostgresBackplane,
            "nats": NatsBackplane,
        }
        self.inner: Any = planes[kind](options)
        self.plane = FaultyBackplane(self.inner)
        self._alive: list[Pod] = []

    def start(self) -> Pod:
        """A new pod, as a process that starts."""
        pod = Pod(self.plane, owns_backplane=False)
        self._alive.append(pod)
        return pod

    def stop(self, pod: Pod) -> None:
        """End a pod cleanly."""
        self.run(self.end(pod, clean=True))

    def kill(self, pod: Pod) -> None:
        """End a pod without a last snapshot, as SIGKILL does."""
        self.run(self.end(pod, clean=False))

    async def end(self, pod: Pod, clean: bool) -> None:
        """`stop` or `kill`, on the pods' loop."""
        store = pod.snapshots.store

        async def close(sources: object) -> None:
            await store.close()

        if not clean:
            pod.snapshots.close = close  # type: ignore[method-assign]
        self._alive.remove(pod)
        await pod.aclose()

    def restart(self, pod: Pod) -> Pod:
        self.stop(pod)
        return self.start()

    def run(self, coroutine: Any) -> Any:
        """Await something on the pods' loop."""
        return current_loop().call(coroutine)

    def append(self, pod: Pod, spec: LogSpec[Any], *events: object) -> None:
        """Append and fold, then make the snapshots and compactions that follow from it."""
        offsets = pod.append(KEY, spec, events)
        pod.read(KEY, spec, at_least=offsets[-1])
        self.flush(pod)

    def flush(self, pod: Pod) -> None:
        self.run(pod.snapshots.flush())

    def head(self) -> LogBounds:
        return self.run(self.plane.head(KEY))  # type: ignore[no-any-return]

    def compact(self, records: int) -> None:
        """Discard the first ``records`` of those that are there."""
        self.run(self._compact(records))

    async def _compact(self, records: int) -> None:
        packs = (await self.plane.read(KEY, GENESIS)).packs
        offsets = [pack.first + index for pack in packs for index in range(pack.count)]
        await self.plane.compact(KEY, offsets[records - 1])

    def close(self) -> None:
        for pod in list(self._alive):
            self.stop(pod)
        self.run(self.plane.close())


@contextmanager
def world_of(kind: str, **options: Any) -> Iterator[World]:
    """A world whose snapshots are made after each fold, and compacted without delay, unless ``options`` say otherwise."""
    with ExitStack() as stack:
        world = World(kind)
        stack.enter_context(
            override_settings(
                VIA_STATE={
                    "DATABASE": POSTGRES_ALIAS,
                    "PREFIX": world.prefix,
                    "SNAPSHOT_INTERVAL": 1,
                    "COMPACT_MIN_AGE": 0,
                    **options,
                }
            )
        )
        stack.callback(world.close)
        yield world
