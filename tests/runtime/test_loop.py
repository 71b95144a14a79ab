"""The loop thread continues, whatever is raised on it; where it can't, nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board
from via_state.backplanes.memory import MemoryBackplane
from via_state.exceptions import AppendOutcomeUnknown, LoopEnded
from via_state.health import why_dead
from via_state.management.health import HealthServer
from via_state.pod.default import current_pod, use_pod
from via_state.pod.pod import Pod
from via_state.runtime.loop import LoopThread

WAIT = 20.0  # seconds after which something hangs


def in_thread(function: Callable[[], Any]) -> Future[Any]:
    """What a function of another thread gives or raises."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def break_loop(thread: LoopThread) -> None:
    """As an operating system does that gives no more memory."""
    loop: Any = thread.loop
    turn = loop._run_once

    def broken() -> None:
        loop._run_once = turn
        raise OSError("the selector is gone")

    loop._run_once = broken
    loop.call_soon_threadsafe(lambda: None)
    thread.thread.join(WAIT)
    assert not thread.thread.is_alive()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_would_end_the_thread_fails_its_caller_alone(
    thread: LoopThread, kind: type[BaseException], caplog: pytest.LogCaptureFixture, log_values: None
) -> None:
    async def leave() -> None:
        raise kind("a project's")

    async def other() -> str:
        asyncio.get_running_loop().call_soon(_leave)
        task = asyncio.get_running_loop().create_task(leave())
        await asyncio.wait([task])
        assert isinstance(task.exception(), kind)
        return "still here"

    def _leave() -> None:
        raise kind("of a callback")

    with pytest.raises(RuntimeError, match=f"{kind.__name__}: a project's"):
        thread.call(leave())
    assert thread.call(other()) == "still here"
    assert "of a callback" in caplog.text


def test_the_loop_continues_when_somebody_stops_it(thread: LoopThread) -> None:
    thread.soon(thread.loop.stop)
    assert thread.call(asyncio.sleep(0, "still here")) == "still here"


def test_a_loop_that_ends_fails_those_who_wait_and_those_who_come(
    thread: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    called = threading.Event()

    async def never() -> None:
        called.set()
        await asyncio.Event().wait()

    waiting = in_thread(lambda: thread.call(never()))
    assert called.wait(WAIT)
    called.clear()
    awaiting = in_thread(lambda: asyncio.run(thread.acall(never())))
    assert called.wait(WAIT)
    break_loop(thread)
    for future in (waiting, awaiting):
        with pytest.raises(LoopEnded, match="Restart the process"):
            future.result(WAIT)
    with pytest.raises(LoopEnded, match="Restart the process"):
        thread.call(asyncio.sleep(0))
    with pytest.raises(LoopEnded, match="Restart the process"):
        thread.soon(print)
    assert "The background thread of via_state has ended" in caplog.text
    thread.thread.join(WAIT)
    assert "unexpected state" not in caplog.text


def test_an_append_and_a_reader_of_changes_do_not_outwait_the_loop(thread: LoopThread) -> None:
    backplane = FaultyBackplane(MemoryBackplane({}))
    pod = Pod(backplane)
    with use_pod(pod):
        Board.numbers.append(Add(1))
        seen = threading.Event()

        async def follow() -> None:
            async for _ in Board.numbers.changes():
                seen.set()

        following = in_thread(lambda: asyncio.run(follow()))
        assert seen.wait(WAIT)
        sent = threading.Event()

        async def never(*args: object) -> Any:
            sent.set()
            await asyncio.Event().wait()

        backplane.append = never  # type: ignore[method-assign, assignment]
        first = in_thread(lambda: Board.numbers.append(Add(2)))
        assert sent.wait(WAIT)
        break_loop(thread)
        with pytest.raises(AppendOutcomeUnknown):
            first.result(WAIT)
        with pytest.raises(LoopEnded):
            following.result(WAIT)
        with pytest.raises(LoopEnded, match="Restart the process"):
            Board.numbers.append(Add(3))


def test_a_process_whose_loop_ended_gets_no_new_pod_without_what_was_in_memory(
    thread: LoopThread, state_pod: Pod
) -> None:
    Board.numbers.append(Add(1))
    assert current_pod().thread is thread
    break_loop(thread)
    with pytest.raises(LoopEnded, match="Restart the process"):
        current_pod()
    with pytest.raises(LoopEnded, match="Restart the process"):
        Board.numbers.append(Add(2))


def test_a_worker_whose_loop_ended_is_not_alive(thread: LoopThread) -> None:
    health = HealthServer("127.0.0.1", 0, lambda: why_dead(thread))
    health.ready = True
    try:
        for path in ("livez", "readyz"):
            with urlopen(f"http://127.0.0.1:{health.port}/{path}", timeout=WAIT) as answer:
                assert answer.status == 200
        break_loop(thread)
        for path in ("livez", "readyz"):
            with pytest.raises(HTTPError) as refused:
                urlopen(f"http://127.0.0.1:{health.port}/{path}", timeout=WAIT)
            with refused.value as answer:
                assert answer.code == 503
    finally:
        health.close()
