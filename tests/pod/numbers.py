"""A log of numbers, and the codes that fold it: what snapshots are tried with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY

from tests.pod.world import KEY, World, declared


@dataclass(frozen=True, slots=True)
class Add:
    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [*numbers, self.number]


@dataclass(frozen=True, slots=True)
class Clear:
    def fold(self, numbers: list[int]) -> list[int]:
        return []


@dataclass(frozen=True, slots=True)
class Add2:
    """The same event with a value of another type."""

    number: int
    event_name = "Add"

    def fold(self, numbers: dict[str, list[int]]) -> dict[str, list[int]]:
        return {"numbers": [*numbers.get("numbers", []), self.number]}


@dataclass(frozen=True, slots=True)
class Add3:
    """The same event and value, folded otherwise."""

    number: int
    event_name = "Add"

    def fold(self, numbers: list[int]) -> list[int]:
        return [self.number, *numbers]


OLD = declared(Add)
MORE = declared(Add, Clear)
UNVERSIONED = declared(Add2)
UNBRIDGED = declared(Add2, version=2)
NEW = declared(Add2, version=2, migrations={(1, 2): lambda old: {"numbers": old}})
REFOLDED = declared(Add3)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"key": KEY, **labels}) or 0.0


def filled(world: World, spec: Any = OLD, count: int = 5) -> list[int]:
    """A log of which all but the last records were discarded."""
    pod = world.start()
    for number in range(count):
        world.append(pod, spec, Add(number))
    world.stop(pod)
    assert world.head().floor.offset > 0
    return list(range(count))


def long(world: World, pod: Any, spec: Any) -> None:
    """1,501 records, more than one read brings."""
    for start in range(0, 1500, 500):
        world.append(pod, spec, *map(Add, range(start, start + 500)))
    world.append(pod, spec, Add(1500))
