"""Whatever the project's code raises is a failure of its record or key. The loop, and all other keys, continue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from tests.pod.world import KEY, declared, world_of
from via_state import State, StateApp
from via_state.core.specs import CellSpec
from via_state.declarations.registry import registry
from via_state.exceptions import CellUnreadable, KeyHalted, ValueRefused
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop

#: What would end a thread or a task.
ENDS = [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, BaseException]
ends = pytest.mark.parametrize("kind", ENDS)
raises: list[type[BaseException]] = []


@pytest.fixture(autouse=True)
def working() -> Iterator[None]:
    thread = current_loop()
    raises.clear()
    yield
    raises.clear()
    assert current_loop() is thread
    assert thread.alive


def leave() -> None:
    """Code of the project that ends more than itself."""
    if raises:
        raise raises[0]("the project's")


@dataclass(frozen=True, slots=True)
class Noted:
    """Its fold may raise."""

    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        leave()
        return [*numbers, self.number]


@dataclass(frozen=True, slots=True)
class NotedBefore:
    """`Upcast`, when it was written."""

    event_name: ClassVar[str] = "Upcast"
    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [*numbers, self.number]


def upcast(payload: Any) -> Any:
    leave()
    return payload


@dataclass(frozen=True, slots=True)
class Upcast:
    """Made of an older version by a function that may raise."""

    event_version: ClassVar[int] = 2
    event_upcasters: ClassVar[dict[int, Any]] = {1: upcast}
    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [*numbers, self.number]


@dataclass(frozen=True, slots=True)
class Checked:
    """A value that looks at itself when it is decoded."""

    number: int

    def __post_init__(self) -> None:
        leave()


def initial() -> int:
    leave()
    return 0


def cell_of(value_type: Any, **options: Any) -> CellSpec[Any]:
    with registry.isolated():

        class Code(State):
            cell: StateApp[Any] = StateApp(value_type, key="tests.cell", **options)

        return Code.cell.definition.spec()


@ends
def test_a_fold_halts_its_key(kind: type[BaseException]) -> None:
    spec = declared(Noted)
    with world_of("memory") as world:
        pod = world.start()
        world.append(pod, spec, Noted(1))
        raises.append(kind)
        offset = pod.append(KEY, spec, [Noted(2)])[-1]
        with pytest.raises(KeyHalted, match=f"{kind.__name__}: the project's"):
            pod.read(KEY, spec, at_least=offset)
        assert pod.read(KEY, spec) == [1]


@ends
def test_an_upcaster_leaves_its_record_undecodable(kind: type[BaseException]) -> None:
    before, spec = declared(NotedBefore), declared(Upcast)
    with world_of("memory", SNAPSHOT_INTERVAL=0) as world:
        pod = world.start()
        world.append(pod, before, NotedBefore(1))
        world.stop(pod)
        raises.append(kind)
        assert world.start().read(KEY, spec) == []


@ends
def test_a_migration_halts_its_key(kind: type[BaseException]) -> None:
    def migrate(value: Any) -> Any:
        leave()
        return value

    old, new = declared(Noted), declared(Noted, version=2, migrations={(1, 2): migrate})
    with world_of("memory") as world:
        pod = world.start()
        world.append(pod, old, Noted(1), Noted(2))
        world.compact(2)
        raises.append(kind)
        world.stop(pod)
        with pytest.raises(KeyHalted, match=f"the migration from version 1 to 2 failed: {kind.__name__}"):
            world.start().read(KEY, new)


@ends
def test_an_initial_value_fails_its_reader(kind: type[BaseException], pod: Pod) -> None:
    spec = cell_of(int, default=initial)
    raises.append(kind)
    expected = kind if issubclass(kind, Exception) else RuntimeError
    with pytest.raises(expected, match="the project's"):
        pod.get("tests.cell", spec)
    raises.clear()
    assert pod.get("tests.cell", spec) == 0


@ends
def test_a_class_of_a_cell_fails_its_reader_and_its_writer(kind: type[BaseException], pod: Pod, peer: Pod) -> None:
    spec = cell_of(Checked | None, default=None)
    pod.set("tests.cell", spec, Checked(1))
    value = Checked(2)
    raises.append(kind)
    with pytest.raises(CellUnreadable, match=kind.__name__):
        peer.get("tests.cell", spec)
    with ThreadPoolExecutor(1) as request, pytest.raises((ValueRefused, CellUnreadable)):
        request.submit(pod.set, "tests.cell", spec, value).result()
    raises.clear()
    assert pod.get("tests.cell", spec) == Checked(1)
