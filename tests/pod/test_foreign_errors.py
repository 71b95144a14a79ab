"""An exception that is not ours: what it leaves open is said, with its own words, and others are not affected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import override_settings

from tests.conftest import nats_with
from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board, eventually
from via_state import State, StateAppEvents
from via_state.backplanes.nats import NatsBackplane
from via_state.exceptions import AppendOutcomeUnknown, AppendTooLarge, UpdateOutcomeUnknown
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop


@dataclass(frozen=True, slots=True)
class Said:
    """A text of any size."""

    text: str

    def fold(self, sizes: list[int]) -> list[int]:
        return [*sizes, len(self.text)]


class Talk(State):
    sizes = StateAppEvents(Said, key="tests.sizes")


def once(inner: Callable[..., Any], error: Exception, *, afterwards: bool = False) -> Callable[..., Any]:
    """The verb, whose first call raises: before it did anything, or afterwards."""
    raised: list[bool] = []

    async def verb(*args: Any, **kwargs: Any) -> Any:
        if raised:
            return await inner(*args, **kwargs)
        raised.append(True)
        if afterwards:
            await inner(*args, **kwargs)
        raise error

    return verb


async def test_an_append_that_ends_in_a_foreign_error_says_so_and_the_next_one_works(
    pod: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = Board.numbers.using(pod)
    monkeypatch.setattr(backplane, "append", once(backplane.append, KeyError("seq"), afterwards=True))
    first, _ = await asyncio.gather(numbers.aappend(Add(1)), numbers.aappend(Add(2)), return_exceptions=True)
    assert isinstance(first, AppendOutcomeUnknown)
    assert "KeyError: 'seq'" in str(first)
    assert "may or may not be in the log" in str(first)
    assert "This process stopped" not in str(first)
    assert caplog.text.count("in a way that its backplane should not") == 1
    assert await numbers.aappend(Add(3)) == 3


@pytest.mark.parametrize("afterwards", [False, True])
async def test_an_update_that_ends_in_a_foreign_error_is_looked_after(
    pod: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch, afterwards: bool
) -> None:
    monkeypatch.setattr(backplane, "cas", once(backplane.cas, KeyError("seq"), afterwards=afterwards))
    assert await Board.hits.using(pod).aupdate(lambda hits: hits + 1) == 1
    assert await Board.hits.using(pod).aread() == 1


@override_settings(VIA_STATE={"UPDATE_TIMEOUT": 0.2})
async def test_an_update_that_keeps_ending_in_a_foreign_error_names_it(
    pod: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cas(*_: Any, **__: Any) -> Any:
        raise KeyError("seq")

    monkeypatch.setattr(backplane, "cas", cas)
    with pytest.raises(UpdateOutcomeUnknown, match="KeyError: 'seq'"):
        await Board.hits.using(pod).aupdate(lambda hits: hits + 1)


async def test_one_append_that_is_too_large_fails_alone() -> None:
    """Nobody knows before the first connection that this server takes less than most."""
    with nats_with("max_payload: 65536") as server:
        plane = NatsBackplane({"SERVERS": server.url, "PREFIX": "small"})
        plane.durable = False  # type: ignore[misc]  # no tables here
        pod = await current_loop().acall(_pod(plane))
        texts = Talk.sizes.using(pod)
        sizes = [1, 2, 500_000, 4, 5]
        answers = await asyncio.gather(
            *(texts.aappend(Said("x" * size)) for size in sizes), return_exceptions=True
        )
        assert [isinstance(one, AppendTooLarge) for one in answers] == [False, False, True, False, False]
        assert await texts.aread() == [1, 2, 4, 5]
        await pod.aclose()


async def _pod(plane: NatsBackplane) -> Pod:
    return Pod(plane)


async def test_a_copy_of_a_cell_is_loaded_again_after_a_foreign_error(
    pod: Pod,
    peer: Pod,
    backplane: FaultyBackplane,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await Board.hits.using(peer).aread() == 0
    backplane.deaf = True
    cell = peer.replicas.cell("tests.hits", Board.hits.definition.spec())
    await Board.hits.using(pod).aset(7)
    monkeypatch.setattr(backplane, "load_many", once(backplane.load_many, KeyError("data")))
    peer.thread.soon(cell.ring)
    await eventually(lambda: "is tried again" in caplog.text, "the error was logged")
    await eventually(lambda: cell.current.value == 7 and cell.task is None, "the copy was loaded")
