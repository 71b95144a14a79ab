"""The events that via_state emits about itself, and who may listen."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

import via_state
from testproject.servers.waiting import wait_until
from tests.pod.board import Add, Board
from via_state import telemetry
from via_state.pod.pod import Pod
from via_state.telemetry import writing
from via_state.testing import pods

ROOT = Path(via_state.__file__).parent


@pytest.fixture
def pod() -> Iterator[Pod]:
    with pods(1) as (made,):
        yield made


def emitted() -> set[str]:
    """The events that code of ours makes."""
    found = set()
    for module in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if isinstance(node.func.value, ast.Name) and node.func.value.id == "telemetry":
                    found.add(node.func.attr)
                    if node.func.attr == "Levels":
                        found |= {one.attr for one in node.args if isinstance(one, ast.Attribute)}
                if node.func.attr == "emit" and isinstance(node.func.value, ast.Call):
                    made = node.func.value.func
                    found.add(made.id if isinstance(made, ast.Name) else "")
    return found


def test_every_event_is_emitted_somewhere() -> None:
    assert {one.__name__ for one in telemetry.all_events()} <= emitted()


@pytest.mark.parametrize("event", telemetry.all_events(), ids=lambda one: one.__name__)
def test_every_event_is_described_and_every_measure_has_a_unit(event: type[telemetry.Event]) -> None:
    assert event.__doc__
    measures = {
        name for name, kind in get_type_hints(event).items() if name in event.__struct_fields__ and kind is not str
    }
    assert set(event.units()) == measures


def test_a_subscriber_that_raises_is_logged_and_called_no_more(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def broken(event: telemetry.Appended) -> None:
        calls.append(event)
        raise SystemExit("of the project")

    telemetry.Appended.subscribe(broken)
    with caplog.at_level(logging.ERROR, "via_state"):
        for number in (1, 2):
            Board.numbers.using(pod).append(Add(number))
            telemetry.flush()
    assert len(calls) == 1
    assert "A subscriber of Appended raised" in caplog.text


def test_appends_are_added_up_and_none_is_forgotten(pod: Pod) -> None:
    told: list[telemetry.Appended] = []
    telemetry.flush()
    telemetry.Appended.subscribe(told.append)
    try:
        for _ in range(2 * writing.MOST):
            Board.numbers.using(pod).append_many([Add(1), Add(2)], wait=False)
            assert len(writing._appends) < writing.MOST
        telemetry.flush()
    finally:
        telemetry.Appended.unsubscribe(told.append)
    assert {one.key for one in told} == {Board.numbers.key}
    assert [events for one in told for events in one.events] == [2] * (2 * writing.MOST)
    assert [len(one.events) for one in told] == [len(one.seconds) for one in told]
    assert len(told) < writing.MOST


def test_folds_are_added_up_and_told_by_the_loop(pod: Pod) -> None:
    told: list[telemetry.Folded] = []
    telemetry.Folded.subscribe(told.append)
    try:
        posts = Board.numbers.using(pod)
        posts.read()
        posts.append_many([Add(1)] * 5)
        template = Board.numbers.definition.spec().name
        wait_until(lambda: sum(one.events for one in told if one.template == template) == 5, "the beat")
    finally:
        telemetry.Folded.unsubscribe(told.append)


def test_the_parts_that_emit_run_without_metrics() -> None:
    code = (
        "import sys, django; from django.conf import settings; settings.configure(); django.setup()\n"
        "import via_state.handlers.worker, via_state.pod.pod, via_state.backplanes.memory\n"
        "print('prometheus_client' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "False"
