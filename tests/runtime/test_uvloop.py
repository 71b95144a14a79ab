"""The background thread on uvloop's event loop, where `UVLOOP` says so."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest
import uvloop
from django.core.exceptions import ImproperlyConfigured

from tests.pod.board import Add, Board
from via_state.conf import settings as ours
from via_state.pod.default import current_pod
from via_state.runtime.loop import LoopThread


@pytest.fixture(autouse=True)
def _chosen(settings: Any) -> None:
    settings.VIA_STATE = {**settings.VIA_STATE, "UVLOOP": True}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_would_end_the_thread_fails_its_caller_alone(thread: LoopThread, kind: type[BaseException]) -> None:
    async def leave() -> None:
        raise kind("a project's")

    async def other() -> str:
        asyncio.get_running_loop().call_soon(_leave)
        await asyncio.wait([asyncio.get_running_loop().create_task(leave())])
        return "still here"

    def _leave() -> None:
        raise kind("of a callback")

    assert isinstance(thread.loop, uvloop.Loop)
    with pytest.raises(RuntimeError, match=f"{kind.__name__}: a project's"):
        thread.call(leave())
    assert thread.call(other()) == "still here"
    thread.soon(thread.loop.stop)
    assert thread.call(asyncio.sleep(0, "still here")) == "still here"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_begins_with_a_loop_of_its_own(thread: LoopThread) -> None:
    Board.numbers.append(Add(1))
    of_parent = current_pod()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            Board.numbers.append(Add(2))
            own = current_pod()
            if own is not of_parent and own.thread.loop is not thread.loop and Board.numbers.read() == [2]:
                code = 0  # the memory backplane of the child begins empty
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    Board.numbers.append(Add(3))
    assert Board.numbers.read() == [1, 3]


def test_where_it_is_missing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ours.problems()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    ((message, hint),) = ours.problems()
    assert (message, hint) == (
        "VIA_STATE['UVLOOP'] is True, and uvloop is not installed.",
        "Run pip install 'via-state[uvloop]', or leave it out.",
    )
    with pytest.raises(ImproperlyConfigured, match="not installed"):
        LoopThread()
