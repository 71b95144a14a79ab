"""A fold, an upcaster, a migration or a ``default=`` that reads other state is told so at once, whatever was read before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from tests.pod.board import Add, Board
from tests.pod.world import KEY, declared, world_of
from via_state import State, StateApp, StateAppEvents
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError, KeyHalted
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

VERBS: list[Callable[[], Any]] = [
    lambda: Board.hits.read(),
    lambda: Board.numbers.read(),
    lambda: Board.room.at(room=1).read(),
    lambda: Board.hits.set(1),
    lambda: Board.numbers.append(Add(1)),
    lambda: Board.numbers.status(),
]
NAMES = ["a cell", "a log", "a family", "set", "append", "status"]
used: list[Callable[[], Any]] = []


@dataclass(frozen=True, slots=True)
class Curious:
    """Folds what it does not have."""

    def fold(self, value: int) -> int:
        used[0]()
        return value + 1


@dataclass(frozen=True, slots=True)
class Before:
    """`Upcast`, when it was written."""

    event_name: ClassVar[str] = "Upcast"

    def fold(self, value: int) -> int:
        return value + 1


def upcast(payload: Any) -> Any:
    used[0]()
    return payload


@dataclass(frozen=True, slots=True)
class Upcast:
    """Made with a function that reads."""

    event_version: ClassVar[int] = 2
    event_upcasters: ClassVar[dict[int, Any]] = {1: upcast}

    def fold(self, value: int) -> int:
        return value + 1


@pytest.fixture(params=VERBS, ids=NAMES)
def verb(request: pytest.FixtureRequest) -> Callable[[], Any]:
    used[:] = [request.param]
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("warm", [True, False], ids=["read before", "never read"])
def test_a_fold_halts_its_key_and_names_the_cause(verb: Callable[[], Any], warm: bool) -> None:
    spec = declared(Curious)
    with world_of("memory") as world:
        pod = world.start()
        with use_pod(pod):
            if warm:
                verb()
            offset = pod.append(KEY, spec, [Curious()], wait=False)[-1]
            with pytest.raises(KeyHalted, match=r"Curious\.fold raised .*StateInPureFunction"):
                pod.read(KEY, spec, at_least=offset)
            verb()  # everybody else continues


def test_an_upcaster_leaves_its_record_without_an_event(verb: Callable[[], Any]) -> None:
    with world_of("memory", SNAPSHOT_INTERVAL=0) as world:
        pod = world.start()
        world.append(pod, declared(Before), Before(), Before())
        world.stop(pod)
        pod = world.start()
        with use_pod(pod):
            verb()
            assert pod.read(KEY, declared(Upcast)) == 0


def test_a_migration_halts_its_key_and_names_the_cause(verb: Callable[[], Any]) -> None:
    def migrate(value: Any) -> Any:
        verb()
        return value

    with world_of("memory") as world:
        pod = world.start()
        world.append(pod, declared(Before), Before(), Before())
        world.compact(2)
        world.stop(pod)
        pod = world.start()
        spec = declared(Before, version=2, migrations={(1, 2): migrate})
        with use_pod(pod), pytest.raises(KeyHalted, match="migration from version 1 to 2 failed: StateInPure"):
            pod.read(KEY, spec)


@pytest.mark.parametrize("kind", [StateApp, StateAppEvents])
def test_a_default_is_refused_when_it_is_declared(kind: Any, verb: Callable[[], Any], state_pod: Pod) -> None:
    def default() -> int:
        verb()
        return 0

    of = int if kind is StateApp else Before
    with registry.isolated():

        class Code(State):
            state = kind(of, key="tests.curious", default=default)

        with pytest.raises(DeclarationError, match="the default raised StateInPureFunction"):
            Code.state.definition.spec()
