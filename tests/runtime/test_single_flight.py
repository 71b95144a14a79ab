"""Work that is done when it is rung: never twice at once, never forgotten, never ended by what it raises."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.runtime.service_kit import texts
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.runtime.backoff import Backoff
from via_state.runtime.outage import Outage
from via_state.runtime.patience import seconds_to_send, send_by
from via_state.runtime.single_flight import Hold, Rest, SingleFlight

FOR_EVER = 3600.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda self: 0.0)


class Body:
    """Runs when it is let; its answers are given beforehand, and None after them."""

    def __init__(self, *answers: Rest | BaseException) -> None:
        self.answers = list(answers)
        self.runs = self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Rest:
        self.runs, self.at_once = self.runs + 1, self.at_once + 1
        self.most = max(self.most, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer


def flight(body: Callable[[], Awaitable[Rest]], outage: Outage | None = None) -> SingleFlight:
    return SingleFlight(lambda: "The test", body, outage=outage)


async def rest(one: SingleFlight) -> None:
    while one.task is not None:
        await asyncio.wait([one.task])
        await asyncio.sleep(0)


async def test_rings_while_it_runs_are_one_more_run() -> None:
    body = Body()
    body.gate.clear()
    one = flight(body)
    for _ in range(5):
        one.ring()
    await asyncio.sleep(0)
    for _ in range(5):
        one.ring()
    body.gate.set()
    await rest(one)
    assert (body.runs, body.most) == (2, 1)
    assert one.idle


async def test_a_ring_between_its_end_and_the_next_look_is_not_forgotten() -> None:
    body = Body()
    one = flight(body)
    one.ring()
    assert one.task is not None
    one.task.add_done_callback(lambda _: None)
    while not one.task.done():
        await asyncio.sleep(0)
    one.ring()  # the callbacks of the task have not run, or just have
    await rest(one)
    assert body.runs == 2


@pytest.mark.parametrize("error", [BackplaneUnavailable("away"), ValueError("surprise"), KeyError("\ud800")])
async def test_what_it_raises_costs_a_pause_and_never_the_flight(error: Exception) -> None:
    body = Body(error, error, error)
    one = flight(body)
    one.ring()
    await rest(one)
    assert body.runs == 4
    assert one.failing is None


async def test_what_nobody_expects_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    one = flight(Body(ValueError("surprise"), ValueError("surprise"), None))
    one.ring()
    await rest(one)
    assert texts(caplog) == ["The test failed, and is tried again until it works."]
    assert any(one.exc_text for one in caplog.records if one.getMessage().startswith("The test"))
    one._body = Body(ValueError("again"))
    one.ring()
    await rest(one)
    assert len(texts(caplog)) == 2


async def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    away = BackplaneUnavailable("nobody answers")
    one = flight(Body(away, away, away), Outage(logging.getLogger("via_state.runtime"), "The test"))
    one.ring()
    await rest(one)
    first, second = texts(caplog, logging.INFO)
    assert first == "The test is away, and is tried again until it answers: nobody answers"
    assert second.startswith("The test works again, after ")


async def test_closed_ends_it_for_good() -> None:
    body = Body(Closed("closed"))
    one = flight(body)
    one.ring()
    await rest(one)
    one.ring()
    assert body.runs == 1
    assert one.idle


async def test_a_number_is_when_it_runs_again_by_itself() -> None:
    body = Body(0.0)
    one = flight(body)
    one.ring()
    while body.runs < 2:
        await asyncio.sleep(0)
    await rest(one)
    assert one.idle


async def test_a_ring_does_not_wait_for_the_number_and_takes_its_place() -> None:
    body = Body(FOR_EVER)
    one = flight(body)
    one.ring()
    await rest(one)
    one.ring()
    await rest(one)
    assert body.runs == 2
    assert one.idle


async def test_a_ring_waits_while_it_is_held_and_a_wake_does_not() -> None:
    body = Body(Hold(FOR_EVER))
    one = flight(body)
    one.ring()
    await rest(one)
    one.ring()
    await rest(one)
    assert body.runs == 1
    one.wake()
    await rest(one)
    assert body.runs == 2


async def test_it_runs_once_more_when_a_hold_in_which_it_was_rung_ends() -> None:
    body = Body(Hold(0.0))
    one = flight(body)
    one.ring()
    await rest(one)
    one.ring()
    while body.runs < 2:
        await asyncio.sleep(0)
    await rest(one)
    assert one.idle


async def test_a_stop_ends_what_runs_and_nothing_begins_after_it() -> None:
    body = Body()
    body.gate.clear()
    one = flight(body)
    one.ring()
    await asyncio.sleep(0)
    one.ring()
    one.stop()
    await rest(one)
    one.ring()
    one.wake()
    assert body.runs == 1
    assert one.idle


async def test_it_runs_with_nothing_of_the_context_of_who_rings() -> None:
    seen: list[float] = []

    async def body() -> Rest:
        seen.append(seconds_to_send())
        return None

    one = flight(body)
    with send_by(time.monotonic() + 1):
        one.ring()
    await rest(one)
    assert seen == [math.inf]


async def test_what_the_end_of_a_loop_cancels_does_not_begin_again() -> None:
    begun = asyncio.Event()

    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    flight = SingleFlight("It", waits)
    flight.ring()
    await begun.wait()
    flight.ring()
    task = flight.task
    assert task is not None
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert flight.task is None
    begun.clear()
    flight.ring()
    await begun.wait()
    await flight.ended()
