"""What lasts is said once more and counted; what is refused is said at once."""

from __future__ import annotations

import asyncio
import gc
import logging
from types import SimpleNamespace

import pytest
from django.db import connections
from django.db.utils import InterfaceError, OperationalError, ProgrammingError
from prometheus_client import REGISTRY

from tests.conftest import POSTGRES_ALIAS
from tests.runtime.service_kit import texts
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable
from via_state.runtime import outage
from via_state.runtime.database_errors import reaching
from via_state.runtime.outage import Outage
from via_state.runtime.servers import did_not_answer
from via_state.runtime.single_flight import SingleFlight

AWAY = BackplaneUnavailable("nobody answers")


def counted() -> float:
    return REGISTRY.get_sample_value("via_retrying", {"what": "test"}) or 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def one(quiet: bool = False) -> Outage:
    return Outage(logging.getLogger("via_state.runtime"), "The test", "test", quiet=quiet)


@pytest.mark.parametrize("quiet", [False, True])
def test_what_lasts_for_a_minute_is_warned_of_once_and_counted_until_it_ends(
    clock: list[float], quiet: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    it = one(quiet)
    for _ in range(59):
        it.failed(AWAY)
        clock[0] += 1
    assert counted() == 0
    begun = ["The test is away, and is tried again until it answers: nobody answers"]
    assert texts(caplog, logging.INFO) == ([] if quiet else begun)
    for _ in range(60):
        clock[0] += 1
        it.failed(AWAY)
    assert counted() == 1
    assert (
        texts(caplog, logging.INFO)[-1] == "The test has failed for 60 s, and is still tried again: nobody answers"
    )
    it.answered()
    assert counted() == 0
    assert texts(caplog, logging.INFO)[-1] == "The test works again, after 119.0 s."
    assert len(texts(caplog, logging.INFO)) == (2 if quiet else 3)


def test_parts_that_need_one_server_say_together_that_it_is_away(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    name = "The server of the test"
    error = did_not_answer(BackplaneUnavailable("nobody answers"), name)
    left, right, quiet, other = one(), one(), one(quiet=True), one()
    for it in (left, right, quiet):
        it.failed(error)
    assert texts(caplog, about=name) == [], "it may have been a connection that broke long ago"
    for it in (left, right, quiet, left):
        it.failed(error)
    for _ in range(2):
        other.failed(did_not_answer(BackplaneUnavailable("gone"), "The server beside it"))
    away = f"{name} is away, and what needs it is tried again until it answers: nobody answers"
    assert texts(caplog, about=name) == [away]
    assert len(texts(caplog, about="The server beside it is away")) == 1
    clock[0] += outage.LONG
    left.failed(error)
    right.failed(error)
    assert len(texts(caplog, about="The test has failed for 60 s")) == 1
    assert (left.long, right.long) == (True, True)
    left.answered()
    quiet.answered()
    assert len(texts(caplog, logging.INFO, name)) == 1
    right.over()  # it is no longer tried
    assert texts(caplog, logging.INFO, name)[-1].startswith(f"{name} answers again, after ")
    other.answered()
    for _ in range(2):
        left.failed(error)
    del left, it  # nothing says that it is over, and it keeps the next outage from nobody
    gc.collect()
    for _ in range(2):
        right.failed(error)
    right.answered()
    assert len(texts(caplog, about=f"{name} is away")) == 3
    assert texts(caplog, logging.INFO, "The test works") == []


def test_a_refusal_is_said_and_counted_at_once(caplog: pytest.LogCaptureFixture) -> None:
    it = one(quiet=True)
    it.failed(BackplaneRefused("no right"))
    it.failed(BackplaneRefused("no right"))
    assert texts(caplog) == ["The test is refused, and waiting does not help: no right"]
    assert counted() == 1
    it.over()
    assert counted() == 0


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_a_missing_table_of_the_project_s_database_is_a_refusal(postgres: object) -> None:
    it = one()
    with pytest.raises(ProgrammingError) as raised, connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    it.failed(raised.value)
    assert it.long
    it.over()


async def test_work_that_is_stopped_while_it_fails_is_no_longer_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LONG", 0.0)

    async def body() -> None:
        raise AWAY

    flight = SingleFlight(lambda: "The test", body, outage=one())
    flight.ring()
    assert flight.task is not None
    while not counted():
        await asyncio.sleep(0)
    await flight.ended()
    assert counted() == 0


def test_things_that_fail_together_are_one_outage_which_ends_with_the_last(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    left, right = one().parts(2)
    left.failed(AWAY)
    right.failed(AWAY)
    clock[0] += outage.LONG
    right.failed(AWAY)
    assert counted() == 1
    assert left.long
    assert right.long
    left.answered()
    assert (counted(), left.long, right.long) == (1, False, True)
    right.over()  # it is no longer tried
    assert (counted(), right.long) == (0, False)
    assert len(texts(caplog, logging.INFO)) == 2, "one line when it begins, one when it has lasted"


def test_one_of_several_that_is_refused_keeps_its_obstacle() -> None:
    """Whoever waits for a single flight of several is told that waiting does not help."""

    async def body() -> None:
        raise BackplaneRefused("no table")

    async def run() -> None:
        part, _ = one().parts(2)
        flight = SingleFlight(lambda: "The test", body, outage=part)
        flight.ring()
        await asyncio.sleep(0)
        while flight.obstacle is None:
            await asyncio.sleep(0.01)
        assert isinstance(flight.obstacle, BackplaneRefused)
        flight.stop()

    asyncio.run(asyncio.wait_for(run(), 10))


@pytest.mark.parametrize("kind", [InterfaceError, OperationalError, ProgrammingError])
def test_every_error_of_the_projects_database_is_one_of_ours(kind: type[Exception]) -> None:
    with (
        pytest.raises(
            BackplaneUnavailable, match=r"^The outbox in the database 'default' can't be reached: gone$"
        ),
        reaching("outbox"),
    ):
        raise kind("gone")
