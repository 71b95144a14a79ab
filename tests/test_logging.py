"""What a line is about can be searched, counted and grouped by; the same failure is not said all the time."""

from __future__ import annotations

import ast
import logging
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import via_state
from testproject.servers.waiting import wait_until
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from tests.pod import board
from tests.pod.board import Board, Fragile
from via_state import Delivery, Poison, logs
from via_state.exceptions import BackplaneUnavailable, KeyHalted
from via_state.handlers import delivering
from via_state.testing import pods

ROOT = Path(via_state.__file__).parent
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
def shop() -> Iterator[Shop]:
    with shop_of("memory") as made:
        yield made


@pytest.fixture(autouse=True)
def new_sparing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "_dead_letter_errors", logs.Sparing())


def facts(record: logging.LogRecord) -> dict[str, Any]:
    return {name.removeprefix("via_"): getattr(record, name) for name in logs.FACTS}


def test_a_halted_key_is_said_with_key_offset_reason_and_pod(caplog: pytest.LogCaptureFixture) -> None:
    board.healed.clear()
    with pods(1) as (pod,):
        fragile = Board.fragile.using(pod)
        fragile.append(Fragile(1))
        fragile.append(Fragile(-1), wait=False)
        wait_until(lambda: fragile.status().halted is not None, "the halt")
        (line,) = [one for one in caplog.records if one.name == "via_state.projector"]
        assert facts(line) == {
            "key": "tests.fragile",
            "handler": "",
            "offset": 1,
            "reason": "fold",
            "pod": pod.pod_id,
            "trace_id": "",
        }


def test_a_halted_key_shows_once_where_the_projects_code_raised(
    caplog: pytest.LogCaptureFixture, log_values: None
) -> None:
    board.healed.clear()
    with pods(1) as (pod,):
        fragile = Board.fragile.using(pod)
        fragile.append(Fragile(-1), wait=False)
        wait_until(lambda: fragile.status().halted is not None, "the halt")
        fragile.append(Fragile(1), wait=False)
        with pytest.raises(KeyHalted) as raised:
            fragile.read()
        (line,) = [one for one in caplog.records if one.name == "via_state.projector"]
        said = line.getMessage()
        assert said.startswith(
            "'tests.fragile' is halted: Fragile.fold raised ValueError: a negative number (record "
        )
        trace = textwrap.dedent(logging.Formatter().format(line).removeprefix(said)).strip()
        assert trace.startswith("Traceback (most recent call last):\n  File ")
        assert f"{board.__file__}" in trace.splitlines()[1]
        assert trace.endswith('raise ValueError("a negative number")\nValueError: a negative number')
        assert str(ROOT) not in trace, "our frames say nothing to whoever wrote the fold"
        assert "Traceback" not in str(raised.value)


def test_a_dead_letter_is_said_with_handler_key_offset_and_reason(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise Poison("never")

    (offset,) = shop.place(1)
    shop.work()
    until(lambda: any(one.name == "via_state.handlers" and "gave up" in one.message for one in caplog.records))
    (line,) = [one for one in caplog.records if one.name == "via_state.handlers" and "gave up" in one.message]
    expected = {"key": "orders", "handler": "ship", "offset": offset, "reason": "failed"}
    assert facts(line).items() >= expected.items()


def test_a_dead_letter_hook_that_raises_is_said_once_a_minute(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    def hook(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        tried.append(1)
        raise RuntimeError("and again")

    @shop.orders().on_event("ship", dead_letter=hook)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise Poison("never")

    shop.place(1)
    shop.work()
    until(lambda: len(tried) >= 3)
    assert len([one for one in caplog.records if "dead_letter of" in one.message]) == 1


def test_a_line_of_code_in_a_trace_has_its_id(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("via_state.pod")
    with via_state.context(trace=TRACE):
        logger.warning("a line")
    logger.warning("another line")
    assert [one.trace_id for one in caplog.records] == ["ab" * 16, ""]  # type: ignore[attr-defined]


def test_a_formatter_may_name_every_fact() -> None:
    logger = logging.getLogger("via_state.runtime")
    record = logger.makeRecord(logger.name, logging.WARNING, "x.py", 1, "a line", (), None)
    assert logger.filter(record)
    text = "|".join(f"%({name})s" for name in logs.FACTS)
    assert logging.Formatter(text).format(record).count("|") == len(logs.FACTS) - 1


def test_facts_end_no_line() -> None:
    assert "\n" not in str(logs.about(key="two\nlines", handler="two\nlines"))


def calls() -> Iterator[tuple[str, ast.Call]]:
    for module in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                yield f"{module.relative_to(ROOT)}:{node.lineno}", node


def test_every_line_about_a_key_says_so_beside_its_text() -> None:
    for where, call in calls():
        names = {ast.unparse(one).rpartition(".")[2].lstrip("_") for one in call.args[1:]}
        if "key" in names:
            assert any(one.arg == "extra" for one in call.keywords), f"{where}: extra=about(key=...)"


def test_sparing_forgets_what_is_long_ago() -> None:
    sparing = logs.Sparing(0.0)
    assert sparing.due("a")
    assert sparing.due("a")
    patient = logs.Sparing()
    assert [patient.due("a"), patient.due("a"), patient.due("b")] == [True, False, True]
    for number in range(2 * logs.Sparing.MOST):
        patient.due(number)
    assert len(patient._last) <= logs.Sparing.MOST


def test_what_lasts_is_not_said_by_everybody_who_meets_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that can't be written and a cell that can't be read, again and again; and the end of a worker."""
    with pods(1) as (pod,):
        tries = []

        async def away(*args: object) -> None:
            tries.append(args)
            raise BackplaneUnavailable("away")

        monkeypatch.setattr(pod._halts._store, "change", away)
        board.healed.clear()
        fragile = Board.fragile.using(pod)
        fragile.append(Fragile(-1), wait=False)
        fragile.status()  # it is followed from now on
        wait_until(lambda: len(tries) >= 3, "three attempts to write the list")
        monkeypatch.undo()
        hits = Board.hits.using(pod)
        hits.set(1)
        backplane = pod.backplane

        async def garble() -> None:
            cell = await backplane.load(Board.hits.key)
            assert cell is not None
            for _ in range(3):
                revision = await backplane.cas(Board.hits.key, cell.revision, b"garbage")
                cell = cell._replace(revision=revision)
                await pod.replicas.settle()

        pod.thread.call(garble())
    lines = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert not [line for line in lines if "list of halted keys" in line], (
        "who sweeps says that the backplane is away"
    )
    assert len([line for line in lines if "tests.hits" in line]) == 1, lines


def test_a_worker_that_can_not_say_that_it_leaves_says_so_once(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = shop.work()

    def away(*args: object) -> list[str]:
        raise BackplaneUnavailable("away")

    for name in ("renew", "release_idle", "leave"):
        monkeypatch.setattr(worker.store, name, away)
    shop.stop(worker)
    said = [
        one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING and "away" in one.getMessage()
    ]
    assert len(said) == 1, said
