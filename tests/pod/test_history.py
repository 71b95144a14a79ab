"""A long random life of one log: everything that can happen to it, with old and new code side by side.

The model is a plain list. Whatever happens, each pod's value is the fold of the list, or the pod is halted and says why.
``VIA_TEST_STEPS`` and ``VIA_TEST_SEED`` in the environment make it longer, or repeat one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.conf import settings as django_settings

from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod import backups
from tests.pod.world import KEY, World, declared, world_of
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.core.specs import LogSpec
from via_state.exceptions import BackplaneUnavailable
from via_state.pod.pod import Pod
from via_state.pod.reading.projector import Projector
from via_state.pod.snapshots.proof import held

STEPS = int(os.environ.get("VIA_TEST_STEPS", "3000"))
SEED = int(os.environ.get("VIA_TEST_SEED", "20261123"))
PRIME = 2**31 - 1


def mix(digest: int, number: int) -> int:
    return (digest * 1_000_003 + number + 1) % PRIME


@dataclass(frozen=True, slots=True)
class Step:
    number: int

    def fold(self, digest: int) -> int:
        return mix(digest, self.number)


@dataclass(frozen=True, slots=True)
class Mark:
    """Unknown to the oldest code."""

    number: int

    def fold(self, digest: int) -> int:
        return mix(digest, -self.number)


@dataclass(frozen=True, slots=True)
class Step2:
    number: int
    event_name = "Step"

    def fold(self, value: dict[str, int]) -> dict[str, int]:
        return {"digest": mix(value.get("digest", 0), self.number)}


@dataclass(frozen=True, slots=True)
class Mark2:
    number: int
    event_name = "Mark"

    def fold(self, value: dict[str, int]) -> dict[str, int]:
        return {"digest": mix(value.get("digest", 0), -self.number)}


@dataclass(frozen=True)
class Code:
    """One version of the project. ``value`` is what its fold of some numbers is; negative ones are marks."""

    name: str
    spec: LogSpec[Any]
    step: Callable[[int], object]
    mark: Callable[[int], object] | None
    value: Callable[[list[int]], Any]


def digest_of(numbers: list[int]) -> int:
    digest = 0
    for number in numbers:
        digest = mix(digest, number)
    return digest


CODES = [
    Code("old", declared(Step), Step, None, lambda numbers: digest_of([n for n in numbers if n > 0])),
    Code("more", declared(Step, Mark), Step, Mark, digest_of),
    Code(
        "new",
        declared(Step2, Mark2, version=2, migrations={(1, 2): lambda digest: {"digest": digest}}),
        Step2,
        Mark2,
        lambda numbers: {"digest": digest_of(numbers)} if numbers else {},
    ),
]


class Life:
    """The log, its model, and the pods that run now."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.numbers: list[int] = []
        self.pods: list[tuple[Pod, Code]] = []
        self.slow: set[Pod] = set()
        self.deaf: set[Projector[Any]] = set()
        self.backups: list[tuple[Any, list[int]]] = []
        self.count = 0
        self.seen: Counter[str] = Counter()
        self.halts: Counter[str] = Counter()
        self.failing = 0

    # Steps -----------------------------------------------------------------------------------------------

    async def append(self) -> None:
        pod, code = self.random.choice(self.pods)
        numbers = []
        for _ in range(self.random.choice([1, 1, 2, 5, 300] if self.random.random() < 0.03 else [1, 1, 2, 5])):
            self.count += 1
            numbers.append(-self.count if code.mark is not None and self.random.random() < 0.02 else self.count)
        events = [code.step(n) if n > 0 else code.mark(-n) for n in numbers]  # type: ignore[misc]
        await pod.aappend(KEY, code.spec, events, wait=pod not in self.slow and not self.failing)
        self.numbers += numbers

    async def snapshot(self) -> None:
        pod, _ = self.random.choice(self.pods)
        await pod.replicas.settle()
        try:
            await pod.snapshots.flush()
        except BackplaneUnavailable:
            self.seen["snapshot failed"] += 1

    async def check(self) -> None:
        """The one thing that must hold."""
        for pod, code in self.pods:
            if pod in self.slow:
                continue
            (projector,) = pod.replicas.logs()
            projector.ring()
            await pod.replicas.settle()
            status = await pod.astatus(KEY, code.spec)
            if status.halted is not None:
                assert status.halted
                self.halts[code.name] += 1
                self.seen["halted"] += 1
                continue
            assert status.diverged is None
            assert projector.read() == code.value(self.numbers), f"{code.name} at {status.position}"
            self.seen[f"right: {code.name}"] += 1

    async def start(self) -> None:
        if len(self.pods) < 5:
            await self._start(self.random.choice(CODES))

    async def _start(self, code: Code) -> None:
        pod = self.world.start()
        store = pod.snapshots.store
        for verb in ("load", "save", "positions", "decide", "register", "adopt"):
            setattr(store, verb, partial(self._perhaps, getattr(type(store), verb), store))
        self.pods.append((pod, code))
        pod.replicas.log(KEY, code.spec)

    async def _perhaps(self, verb: Callable[..., Any], store: object, *args: Any, **kwargs: Any) -> Any:
        """The database fails now and then."""
        if self.failing > 0:
            self.failing -= 1
            raise BackplaneUnavailable("injected")
        return await verb(store, *args, **kwargs)

    async def stop(self) -> None:
        await self._end(clean=True)

    async def kill(self) -> None:
        await self._end(clean=False)

    async def _end(self, clean: bool) -> None:
        if len(self.pods) < 2:
            return
        pod, code = self.pods.pop(self.random.randrange(len(self.pods)))
        self.slow.discard(pod)
        for projector in pod.replicas.logs():
            projector.flight.stop()
        await self.world.end(pod, clean)
        if len(self.pods) == 1:
            await self._start(code)

    async def slow_down(self) -> None:
        pod, _ = self.random.choice(self.pods)
        self.slow.add(pod)
        self.deaf.update(pod.replicas.logs())

    async def speed_up(self) -> None:
        self.slow.clear()
        self.deaf.clear()

    async def lose_database(self) -> None:
        self.failing = self.random.randint(1, 3)

    async def lose_connection(self) -> None:
        plane = self.world.plane
        verb = self.random.choice(["append", "read", "head"])
        plane.fail(verb, Fault.LOST_ANSWER if verb == "append" and self.random.random() < 0.5 else Fault.BEFORE)

    async def drop(self) -> None:
        await self.world.plane.drop(KEY)
        self.numbers = []
        self.backups = []

    async def back_up(self) -> None:
        self.backups.append((await backups.copy_of(self.world), list(self.numbers)))

    async def restore(self) -> None:
        """The log is as it was; the snapshots are not."""
        if self.backups:
            saved, numbers = self.random.choice(self.backups)
            await backups.put_back(self.world, saved)
            self.numbers = list(numbers)

    async def lose_moments(self) -> None:
        """What was appended and stored in less than ``COMPACT_MIN_AGE`` is gone from the log; the snapshots are not."""
        safe = await self._covered()
        saved, numbers = await backups.copy_of(self.world), list(self.numbers)
        django_settings.VIA_STATE["COMPACT_MIN_AGE"] = 3600
        try:
            for step in self.random.choices([self.append, self.snapshot], k=self.random.randint(2, 8)):
                await step()
            await backups.put_back(self.world, saved)
            self.numbers = numbers
            for pod, code in self.pods:
                if pod in self.slow:
                    continue
                (projector,) = pod.replicas.logs()
                projector.ring()
                await pod.replicas.settle()
                if code.name in safe:
                    status = await pod.astatus(KEY, code.spec)
                    assert status.halted is None, f"{code.name}: {status.halted}"
                    assert projector.read() == code.value(self.numbers), f"{code.name} at {status.position}"
                    self.seen["right after lost moments"] += 1
        finally:
            django_settings.VIA_STATE["COMPACT_MIN_AGE"] = 0

    async def _covered(self) -> set[str]:
        """The codes that have all they need: the log's beginning, or a snapshot which is not the newest one."""
        self.failing = 0
        head = await self.world.inner.head(KEY)
        store = self.pods[0][0].snapshots.store
        stored = await store.load(KEY, head.position.epoch, older=True)
        proven = await held(self.world.inner, KEY, [one.position for one in stored])
        found = set()
        for code in CODES:
            snapshots = code.spec.snapshots
            assert snapshots is not None
            own = [one.position for one in stored if one.manifest.fingerprint == snapshots.manifest.fingerprint]
            older = own[1:] or own
            if not head.floor.offset or any(one in proven and one.offset >= head.floor.offset for one in older):
                found.add(code.name)
        return found

    # -----------------------------------------------------------------------------------------------------

    async def run(self, steps: int) -> None:
        await self._start(CODES[0])
        await self._start(CODES[1])
        weights = {
            self.append: 60,
            self.snapshot: 14,
            self.check: 8,
            self.start: 4,
            self.stop: 1.5,
            self.kill: 1.5,
            self.slow_down: 2,
            self.speed_up: 3,
            self.lose_database: 1,
            self.lose_connection: 1,
            self.drop: 0.3,
            self.back_up: 0.6,
            self.restore: 0.1,
            self.lose_moments: 0.5,
        }
        for step in self.random.choices(list(weights), list(weights.values()), k=steps):
            self.seen[step.__name__] += 1
            await step()
        await self.speed_up()
        await self.check()


@pytest.fixture(params=["memory", "sparse", "postgres", "nats"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    if request.param in ("postgres", "nats"):
        request.getfixturevalue("postgres")
        request.getfixturevalue("transactional_db")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with world_of(request.param, SNAPSHOT_INTERVAL=8, RECONCILE_INTERVAL=3600.0) as made:
        yield made


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
def test_every_pod_has_the_fold_of_the_log_or_says_why_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(world, SEED)
    ring = Projector.ring
    monkeypatch.setattr(Projector, "ring", lambda self: None if self in life.deaf else ring(self))
    steps = STEPS * 3 // 10 if world.kind in ("postgres", "nats") else STEPS  # a step takes longer there
    world.run(life.run(steps))
    right, halted = sum(n for what, n in life.seen.items() if what.startswith("right")), life.seen["halted"]
    assert all(life.seen[f"right: {code.name}"] > steps / 500 for code in CODES), life.seen
    assert right > halted, life.seen
    assert life.seen["right after lost moments"] > steps / 1000, life.seen
