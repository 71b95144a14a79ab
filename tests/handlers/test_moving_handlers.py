"""What an operator may do to the positions of handlers, and what needs a yes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.core.management.base import CommandError

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import position, recorder
from tests.handlers.test_commands import run
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery
from via_state.models import EventHandler
from via_state.operations.moves import plan
from via_state.operations.positions import resume
from via_state.pod.default import use_pod

AGAIN = ("resume_handler", "ship", "first", "--key", "orders")


@pytest.fixture
def site(durable_shop: Shop) -> Iterator[Shop]:
    """The shop is the process's own."""
    with use_pod(durable_shop.pod):
        yield durable_shop


@pytest.fixture
def got(site: Shop) -> list[int]:
    """What a healthy handler has had: three orders."""
    got = recorder(site)
    site.place(1, 2, 3)
    site.settle(site.work())
    until(lambda: position(site).offset == 3)
    return got


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    """Somebody sits at a terminal, and answers."""
    asked: list[str] = []

    def answered(question: str) -> str:
        asked.append(question)
        return text

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answered)
    return asked


def test_a_healthy_handler_is_not_rewound(site: Shop, got: list[int]) -> None:
    with pytest.raises(CommandError, match=r"not halted.*3 events to handle, 3 of them for the second time"):
        run(*AGAIN)
    with pytest.raises(CommandError, match="not halted"):
        run(*AGAIN, "--dry-run")
    assert "would resume with the first record: 3 events to handle" in run(*AGAIN, "--force", "--dry-run")
    with pytest.raises(CommandError, match="Nobody can be asked"):
        run(*AGAIN, "--force")
    assert (position(site).offset, got) == (3, [1, 2, 3])


def test_force_asks_and_takes_no_for_an_answer(
    site: Shop, got: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, "y")
    with pytest.raises(CommandError, match="Nothing was changed"):
        run(*AGAIN, "--force")
    assert asked == ["Type 'yes' to continue: "]
    assert (position(site).offset, got) == (3, [1, 2, 3])
    answer(monkeypatch, "yes")
    assert "resumes with the first record: 3 events to handle, 3 of them for the second time" in run(
        *AGAIN, "--force"
    )
    until(lambda: got == [1, 2, 3, 1, 2, 3])


def test_a_script_forces_without_a_question(site: Shop, got: list[int]) -> None:
    said = run("resume_handler", "ship", "2", "--key", "orders", "--force", "--no-input")
    assert "ship on orders is not halted. It will resume after offset 2: 1 event to handle" in said
    until(lambda: got == [1, 2, 3, 3])


def test_force_needs_a_key(site: Shop, got: list[int]) -> None:
    with pytest.raises(CommandError, match="give --key"):
        run("resume_handler", "ship", "first", "--force", "--no-input")
    assert got == [1, 2, 3]


def test_a_stuck_handler_does_not_pass_over_events_without_a_yes(site: Shop) -> None:
    @site.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise RuntimeError("no")

    site.place(1, 2)
    site.work()
    until(lambda: position(site).attempts > 0)
    with pytest.raises(CommandError, match=r"not halted.*0 events to handle, 2 events never to be handled"):
        run("resume_handler", "ship", "head", "--key", "orders")
    assert position(site).offset == 0


def test_a_blocked_handler_may_continue_after_what_blocks_it(site: Shop) -> None:
    got = recorder(site)
    site.place(1)
    site.raw("orders", json.dumps([["Placed", 2, {"number": 2}]]).encode())
    site.place(3)
    site.work()
    until(lambda: position(site).stuck_since is not None)
    with pytest.raises(CommandError, match="1 of them for the second time"):
        run(*AGAIN)
    assert "1 event to handle, 1 event never to be handled" in run(
        "resume_handler", "ship", "2", "--key", "orders"
    )
    until(lambda: got == [1, 3])


def test_a_position_that_somebody_else_resumed_is_left_as_it_is(site: Shop, got: list[int]) -> None:
    site.world.run(site.world.inner.drop("orders"))
    site.place(4, 5)
    until(lambda: position(site).halted == "history")
    move = site.world.run(plan(site.world.plane, position(site), "first"))
    assert (move.ahead, move.again, move.skipped) == (2, None, None), "of another history nothing is known"
    other = site.world.run(plan(site.world.plane, position(site), "head"))
    assert resume(other.row, other.position, other.from_floor)
    until(lambda: position(site).halted == "")
    assert not resume(move.row, move.position, move.from_floor)
    site.place(6)
    until(lambda: got == [1, 2, 3, 6])


def test_a_handler_that_a_worker_runs_is_not_retired(site: Shop, got: list[int]) -> None:
    """A worker with the old code would register it again, and begin with the first record."""
    site.orders().definition.handlers.clear()
    with pytest.raises(CommandError, match="still runs it on 'orders'"):
        run("retire_handler", "ship")
    with pytest.raises(CommandError, match="still runs it on 'orders'"):
        run("retire_handler", "ship", "--dry-run")
    assert EventHandler.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix).exists()
    assert got == [1, 2, 3]
