"""A service, and several as one."""

from __future__ import annotations

import pytest

from tests.runtime.service_kit import Interrupt, ServiceKit, texts
from via_state.runtime.service import Service, ServiceGroup


class Part(Service):
    """Writes down what happens to it, and fails where it is told to."""

    def __init__(self, label: str, said: list[str], fails: str = "") -> None:
        self.label, self.said, self.fails = label, said, fails

    @property
    def name(self) -> str:
        return self.label

    async def _start(self) -> None:
        self._say("start")

    async def _drain(self) -> None:
        self._say("drain")

    async def _stop(self) -> None:
        self._say("stop")

    def _say(self, phase: str) -> None:
        self.said.append(f"{self.label} {phase}")
        if self.fails == phase:
            raise Interrupt


class TestService(ServiceKit):
    def make(self) -> Service:
        return Part("a", [])


class TestGroup(ServiceKit):
    def make(self) -> Service:
        return ServiceGroup(Part("a", []), Part("b", []))


async def test_parts_start_in_order_and_end_in_reverse() -> None:
    said: list[str] = []
    group = ServiceGroup(*(Part(label, said) for label in "abc"))
    await group.start()
    await group.drain()
    await group.stop()
    assert said == [f"{label} start" for label in "abc"] + [
        f"{label} {phase}" for phase in ("drain", "stop") for label in "cba"
    ]


async def test_a_part_that_fails_to_start_stops_those_before_it() -> None:
    said: list[str] = []
    group = ServiceGroup(Part("a", said), Part("b", said, "start"), Part("c", said))
    with pytest.raises(Interrupt):
        await group.start()
    assert said == ["a start", "b start", "b stop", "a stop"]


@pytest.mark.parametrize("phase", ["drain", "stop"])
async def test_a_part_that_fails_to_end_keeps_no_other_one_from_it(
    phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    group = ServiceGroup(Part("a", said), Part("b", said, phase), Part("c", said))
    await group.start()
    await group.drain()
    await group.stop()
    assert said[3:] == [f"{label} {phase}" for phase in ("drain", "stop") for label in "cba"]
    assert texts(caplog, about="b ") == [f"b failed to {phase}; the others are not affected."]


async def test_a_part_that_comes_later_is_started_and_stopped_with_the_rest() -> None:
    said: list[str] = []
    group = ServiceGroup(Part("a", said))
    await group.start()
    await group.add(Part("b", said))
    await group.stop()
    assert said == ["a start", "b start", "b stop", "a stop"]


async def test_a_part_that_leaves_is_drained_and_stopped_and_the_others_stay() -> None:
    said: list[str] = []
    first, second, third = (Part(label, said) for label in "abc")
    group = ServiceGroup(first)
    await group.start()
    await group.add(second)
    await group.add(third)
    await group.remove(second, third)
    assert said[3:] == ["c drain", "b drain", "c stop", "b stop"]
    assert group.services == (first,)
    assert first.running
    await group.stop()
    assert said[7:] == ["a stop"]
