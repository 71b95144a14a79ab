"""What one process counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Gauge

from testproject.servers.waiting import wait_until
from tests.pod.board import Add, Board
from via_state import telemetry
from via_state.metrics import consumers, exposition, folds, process
from via_state.metrics.declared import CATALOG, Family
from via_state.testing import pods


def sample(metric: str, /, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(metric, labels)


def series(key: str) -> set[str]:
    """The names of all series with this key."""
    return {one.name for metric in REGISTRY.collect() for one in metric.samples if one.labels.get("key") == key}


def test_a_log_that_is_loaded_has_every_counter_at_0() -> None:
    telemetry.LogLoaded("new.7", "new.{room}").emit()
    for one in CATALOG:
        if one.kind == "counter" and one.labels == ("key",) and one.module == folds.__name__:
            assert sample(one.name, key="new.{room}") == 0, one.name


def test_a_handler_that_is_registered_has_every_counter_at_0() -> None:
    telemetry.HandlerRegistered("mail", "new.{room}").emit()
    for one in CATALOG:
        if one.kind == "counter" and one.labels == ("name", "key"):
            assert sample(one.name, name="mail", key="new.{room}") == 0, one.name
    for outcome in consumers.OUTCOMES:
        assert sample("via_consumer_deliveries_total", name="mail", key="new.{room}", outcome=outcome) == 0


def test_what_alerts_count_begins_at_0_in_a_new_process() -> None:
    code = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["via_state"])
django.setup()
print(__import__("via_state.metrics.exposition", fromlist=["page"]).page().decode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for reason in ("unavailable", "unknown", "refused"):
        assert f'via_append_errors_total{{reason="{reason}"}} 0.0' in done.stdout
    for heard in ("rung", "found"):
        assert f'via_doorbells_total{{heard="{heard}"}} 0.0' in done.stdout
    for name in ("via_collector_errors_total", "via_erasures_failed_total"):
        assert f"{name} 0.0" in done.stdout


def test_the_number_of_series_does_not_grow_with_the_members_of_a_family() -> None:
    template = "tests.room.{room}"
    with pods(1) as (pod,):
        for room in range(30):
            Board.room.using(pod).at(room=room).append(Add(1))
            Board.room.using(pod).at(room=room).read()
            if room == 0:
                telemetry.flush()
                before = series(template)
        telemetry.flush()
        assert before == series(template) != set()
        found = {one.labels.get("key", "") for metric in REGISTRY.collect() for one in metric.samples}
        assert not [key for key in found if key.startswith("tests.room.") and key != template]


def test_every_gauge_says_how_processes_are_joined() -> None:
    for module in (process, folds, consumers):
        for name, one in vars(module).items():
            gauge = getattr(one._labels, "__self__", None) if isinstance(one, Family) else one
            if isinstance(gauge, Gauge):
                assert gauge._multiprocess_mode.startswith("live"), name


def test_a_failed_append_and_a_wait_are_counted_by_their_outcome() -> None:
    def appended() -> float:
        return sample("via_append_errors_total", reason="unavailable") or 0.0

    def waited() -> float:
        return sample("via_read_waits_total", key="tests.numbers", outcome="caught_up") or 0.0

    before = appended(), waited()
    with pods(1) as (pod,):
        offset = Board.numbers.using(pod).append(Add(1))
        Board.numbers.using(pod).read(at_least=offset)
    with pytest.raises(Exception, match=r"closed|stopped"):
        Board.numbers.using(pod).append(Add(1))
    assert (appended() - before[0], waited() - before[1]) == (1, 1)


PROLOGUE = """
import os, signal, sys
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["via_state"])
django.setup()
from via_state import telemetry
"""
CHILD = f"""{PROLOGUE}
telemetry.KeyHalted("feed.1", "feed.{{n}}", "fold").emit()
telemetry.EpochReset("feed.1", "feed.{{n}}").emit()
print("ready", os.getpid(), flush=True)
sys.stdin.read()
"""
#: As gunicorn --preload: its workers are forked from a process that has counted something itself, and that reaps those which are killed.
MASTER = f"""{PROLOGUE}
telemetry.EpochReset("feed.1", "feed.{{n}}").emit()
signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))
workers = []
for _ in range(2):
    worker = os.fork()
    if not worker:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        telemetry.KeyHalted("feed.1", "feed.{{n}}", "fold").emit()
        os.write(1, f"ready {{os.getpid()}}\\n".encode())
        while True:
            signal.pause()
    workers.append(worker)
sys.stdin.read()
for worker in workers:
    try:
        os.kill(worker, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
HALTED, RESET = 'via_halted{key="feed.{n}",reason="fold"}', 'via_events_epoch_reset_total{key="feed.{n}"}'


class Machine:
    """Processes that share a folder of metrics, and what a look at them shows."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code]
        pipe = subprocess.PIPE
        self._started.append(subprocess.Popen(command, env=self._environment, stdin=pipe, stdout=pipe, text=True))
        return self._started[-1]

    @staticmethod
    def ready(started: subprocess.Popen[str]) -> int:
        """Its next line: the number of a process that has counted."""
        assert started.stdout is not None
        said, number = started.stdout.readline().split()
        assert said == "ready"
        return int(number)

    @staticmethod
    def end(started: subprocess.Popen[str]) -> None:
        assert started.stdin is not None
        started.stdin.close()
        started.wait(30)

    def page(self) -> str:
        code = f"{PROLOGUE}\nfrom via_state.metrics import exposition\nprint(exposition.page().decode())"
        return subprocess.run(
            [sys.executable, "-c", code],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def close(self) -> None:
        for one in self._started:
            one.kill()
            one.wait(30)
            for pipe in (one.stdin, one.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def test_the_gauges_of_a_process_that_was_killed_are_gone(machine: Machine) -> None:
    children = [machine.start(CHILD) for _ in range(2)]
    for child in children:
        machine.ready(child)
    assert f"{HALTED} 2.0" in machine.page()
    children[0].send_signal(signal.SIGKILL)
    children[0].wait(30)
    shown = machine.page()
    assert f"{HALTED} 1.0" in shown
    assert f"{RESET} 2.0" in shown  # counters stay
    machine.end(children[1])
    assert HALTED not in machine.page()  # one that ends says so itself


def test_the_gauges_of_a_killed_worker_of_a_server_that_forks_are_gone(machine: Machine) -> None:
    master = machine.start(MASTER)
    workers = [machine.ready(master) for _ in range(2)]
    shown = machine.page()
    assert f"{HALTED} 2.0" in shown
    assert f"{RESET} 1.0" in shown  # of the server, counted once
    try:
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: f"{HALTED} 1.0" in machine.page(), "a look without the worker that was killed")
    finally:
        machine.end(master)
    wait_until(lambda: HALTED not in machine.page(), "a look without workers")


def test_the_page_has_the_shared_truth_and_what_the_process_counts() -> None:
    shown = exposition.page().decode()
    assert "# HELP via_consumer_oldest_timestamp_seconds" in shown
    assert "# HELP via_events_appended_total" in shown


@pytest.mark.parametrize("multiprocess", [False, True])
def test_a_process_that_did_nothing_shows_no_fault(tmp_path: Path, multiprocess: bool) -> None:
    """No backplane, no worker, no loop: a 0 would alert that each of them failed."""
    code = "import django; django.setup(); from via_state.metrics import exposition; print(exposition.page().decode())"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "testproject.settings_test"}
    if multiprocess:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    lines = (line.partition(" ") for line in done.stdout.splitlines() if line and not line.startswith("#"))
    shown = {name: float(value) for name, _, value in lines}
    assert shown["via_events_appended_total"] == 0
    assert "via_lease_until_timestamp_seconds" not in shown
    for name in ("via_backplane_up", "via_loop_beat_timestamp_seconds"):
        assert shown.get(name) != 0  # whoever looks may have started them
