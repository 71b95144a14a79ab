"""An error that a pod keeps is a new one for everybody who gets it: it grows with nobody, and keeps nothing alive."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board
from via_state.exceptions import AppendTooLarge, BackplaneUnavailable, CellUnreadable, ViaStateError
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop


class Request:
    """What a view has while it runs."""


def asked(read: Callable[[], Any]) -> tuple[BaseException, weakref.ref[Request]]:
    """The error of one request, and the request."""
    request = Request()
    try:
        read()
    except ViaStateError as error:
        return error, weakref.ref(request)
    raise AssertionError("nothing was raised")


def never_grows(read: Callable[[], Any]) -> None:
    sizes, requests = [], []
    errors = set()
    for _ in range(6):
        error, request = asked(read)
        sizes.append(len(traceback.extract_tb(error.__traceback__)))
        errors.add(id(error))
        requests.append(request)
        del error
    assert len(set(sizes[1:])) == 1, sizes
    gc.collect()
    assert [one for one in requests if one() is not None] == []


def test_a_cell_that_can_not_be_read(pod: Pod, backplane: FaultyBackplane) -> None:
    current_loop().call(backplane.cas("tests.hits", None, b"no cell of ours"))
    cell = Board.hits.using(pod)
    with pytest.raises(CellUnreadable):
        cell.read()
    never_grows(cell.read)


def test_a_log_whose_backplane_is_away(pod: Pod, backplane: FaultyBackplane) -> None:
    backplane.down = True
    with pytest.raises(BackplaneUnavailable):
        Board.numbers.using(pod).read(timeout=0.5)
    never_grows(lambda: Board.numbers.using(pod).read(timeout=0.001))


async def test_the_appends_of_a_group_get_an_error_each(
    pod: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_large(*args: object) -> Any:
        raise AppendTooLarge("the group is too large")

    monkeypatch.setattr(backplane, "append", too_large)
    numbers = Board.numbers.using(pod)
    errors = await asyncio.gather(*(numbers.aappend(Add(n)) for n in range(5)), return_exceptions=True)
    assert all(isinstance(one, AppendTooLarge) for one in errors)
    assert len({id(one) for one in errors}) == 5
