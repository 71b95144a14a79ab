"""How long things take on their way from an append to what readers see, and where they wait."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import REGISTRY

from testproject.servers.waiting import wait_until
from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Add, Board
from via_state import telemetry
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.timing import outcome_of
from via_state.exceptions import (
    AppendTooLarge,
    BackplaneRefused,
    BackplaneUnavailable,
    CASConflict,
    Closed,
    OutcomeUnknown,
    ViaStateError,
)
from via_state.testing import pods


def sample(metric: str, /, **labels: str) -> float:
    telemetry.flush()
    return REGISTRY.get_sample_value(metric, labels) or 0.0


@pytest.fixture
def plane() -> FaultyBackplane:
    return FaultyBackplane(MemoryBackplane({}))


def test_calls_of_the_backplane_are_timed_by_verb_and_outcome(plane: FaultyBackplane) -> None:
    def calls(verb: str) -> list[float]:
        name = "via_backplane_call_seconds_count"
        return [sample(name, verb=verb, outcome=one) for one in ("ok", "unavailable", "unknown", "refused")]

    before, loads = calls("append"), calls("load_many")
    plane.fail("append", Fault.BEFORE, Fault.LOST_ANSWER)
    with pods(1, plane) as (pod,):
        Board.numbers.using(pod).append(Add(1))
        Board.hits.using(pod).read()
    made = [now - one for now, one in zip(calls("append"), before, strict=True)]
    assert made == [1, 1, 1, 0]
    assert (
        REGISTRY.get_sample_value("via_backplane_call_seconds_count", {"verb": "append", "outcome": "refused"})
        is not None
    )
    assert calls("load_many")[0] > loads[0]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CASConflict("another one", None), "ok"),
        (BackplaneUnavailable("away"), "unavailable"),
        (OutcomeUnknown("no answer"), "unknown"),
        (BackplaneRefused("no right"), "refused"),
        (AppendTooLarge("too large"), "refused"),
        (Closed("closed"), "refused"),
        (KeyError("a fault of an adapter"), "unknown"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_each_error_of_a_call_has_an_outcome(error: Exception, outcome: str) -> None:
    assert outcome_of(error) == outcome


def test_an_append_that_is_too_large_is_counted_as_that(plane: FaultyBackplane) -> None:
    plane.inner.max_append_bytes = plane.max_append_bytes = 10
    before = sample("via_append_errors_total", reason="too_large")
    with pods(1, plane) as (pod,), pytest.raises(ViaStateError):
        Board.numbers.using(pod).append_many([Add(number) for number in range(100)])
    assert sample("via_append_errors_total", reason="too_large") == before + 1


def test_calls_of_append_that_have_no_answer_wait(plane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, opened = threading.Event(), threading.Event()
    append = plane.append

    async def slow(*args: Any) -> Any:
        entered.set()
        while not opened.is_set():
            await asyncio.sleep(0.001)
        return await append(*args)

    monkeypatch.setattr(plane, "append", slow)
    before = sample("via_append_waiting")
    with pods(1, plane) as (pod,), ThreadPoolExecutor(3) as threads:
        numbers = Board.numbers.using(pod)
        calls = [threads.submit(numbers.append, Add(number)) for number in range(3)]
        try:
            assert entered.wait(15)
            wait_until(lambda: sample("via_append_waiting") == before + 3, "three that wait")
        finally:
            opened.set()
        for one in calls:
            one.result(15)
        wait_until(lambda: sample("via_append_waiting") == before, "their end")
    assert sample("via_append_waiting") == before


def test_the_lag_of_folds_is_that_of_what_came_after_a_key_was_loaded() -> None:
    def lags() -> tuple[float, float]:
        name = "via_fold_lag_seconds"
        return sample(f"{name}_count", key="tests.numbers"), sample(f"{name}_sum", key="tests.numbers")

    with pods(2) as (pod, other):
        Board.numbers.using(pod).append_many([Add(1)] * 3)
        count, seconds = lags()
        numbers = Board.numbers.using(other)
        assert numbers.read() == [1, 1, 1]
        assert lags() == (count, seconds)  # they were there before this pod looked
        last = Board.numbers.using(pod).append(Add(2))
        numbers.read(at_least=last)
        after, more = lags()
        assert after == count + 1
        assert 0 <= more - seconds < 15
        telemetry.flush()
        assert lags() == (after, more)  # of each batch once


def test_folds_that_have_nothing_to_announce_only_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting costs a fold of one event less than 1%: nothing is looked up, and no event is made."""
    from via_state.pod.reading.fold_report import FoldReport

    announced: list[object] = []
    with pods(1) as (pod,):
        numbers = Board.numbers.using(pod)
        numbers.append(Add(0))
        numbers.read()
        monkeypatch.setattr(FoldReport, "_announce", lambda *args: announced.append(args))
        for number in range(5):
            numbers.append(Add(number))
        assert numbers.read()[-1] == 4
    assert announced == []
