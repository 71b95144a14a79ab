"""``make demo`` as a process: what it starts, what it says, and what it leaves behind."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testproject.demo import PODS, DemoError, ports
from testproject.servers.ports import HOST, free_port, why_unusable
from testproject.servers.waiting import wait_until
from testproject.web_pod import PROJECT
from tests.cluster.processes import arguments, descendants, environment, gone
from tests.cluster.script import Script
from tests.conftest import server_folder

pytestmark = pytest.mark.cluster

READY = "Ctrl-C stops them."


class Demo:
    """A run of the demo; ``output`` is what it has said so far."""

    def __init__(self, folder: Path, port: int, *more: str) -> None:
        self.output = ""
        command = [sys.executable, "-m", "testproject.demo", "--folder", str(folder), "--port", str(port), *more]
        self.process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
        self.process.stdout.close()

    def wait_to_say(self, text: str) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None, f"“{text}”", 60)
        assert text in self.output, self.output

    def end(self) -> int:
        """Wait for the end; the exit status."""
        status = self.process.wait(60)
        self._reader.join()
        return status

    def close(self) -> None:
        self.process.kill()
        self.end()


Start = Callable[..., Demo]


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as made:
        yield made


@pytest.fixture
def demo(folder: Path) -> Iterator[Start]:
    """Starts a demo with its first pod on a port; all of one test share their data."""
    started: list[Demo] = []

    def start(port: int, *more: str) -> Demo:
        started.append(Demo(folder, port, *more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def port() -> int:
    """The first of as many free ports in a row as the demo has pods."""
    while True:
        first = free_port()
        if not any(why_unusable(first + number) for number in range(PODS)):
            return first


def count(port: int) -> object:
    return Script().get(f"http://{HOST}:{port}/counter/")["value"]


def press(port: int) -> None:
    Script().post(f"http://{HOST}:{port}/counter/")


def test_ctrl_c_stops_all_that_it_started(demo: Start, folder: Path, port: int) -> None:
    run = demo(port)
    run.wait_to_say(READY)
    assert f"  http://{HOST}:{port}/\n  http://{HOST}:{port + 1}/\n" in run.output
    started = descendants(run.process.pid)
    assert len(started) > PODS
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0
    assert run.output.endswith("\nStopping...\nStopped.\n")
    assert all(gone(pid) for pid in started)
    # In order: PostgreSQL when nobody used it any more.
    assert "terminating connection" not in (folder / "postgres" / "postgres.log").read_text()


@pytest.mark.parametrize(("backplane", "layer"), [("postgres", "redis"), ("nats", "backplane")])
def test_a_killed_demo_leaves_nothing_running_and_the_next_one_has_its_data(
    demo: Start, port: int, backplane: str, layer: str
) -> None:
    run = demo(port, "--backplane", backplane, "--layer", layer)
    run.wait_to_say(READY)
    started = descendants(run.process.pid)
    press(port)
    press(port + 1)
    run.process.kill()
    again = demo(port, "--backplane", backplane, "--layer", layer)  # at once: PostgreSQL is still ending
    again.wait_to_say(READY)
    assert ("Starting NATS..." in again.output) == (backplane == "nats")
    assert ("Starting Redis..." in again.output) == (layer == "redis")
    assert all(gone(pid) for pid in started)
    assert [count(port), count(port + 1)] == [2, 2]
    again.process.terminate()
    assert again.end() == 0


def test_a_demo_that_is_starting_can_be_stopped(demo: Start, port: int) -> None:
    run = demo(port)
    run.wait_to_say("Starting pod 1...")
    started = descendants(run.process.pid)
    assert started
    run.process.terminate()
    assert run.end() == 0
    assert READY not in run.output
    assert all(gone(pid) for pid in started)


def test_a_pod_that_dies_is_named_and_ends_the_demo(demo: Start, port: int) -> None:
    run = demo(port)
    run.wait_to_say(READY)
    started = descendants(run.process.pid)
    [second] = [pid for pid in started if "VIA_POD_NAME=pod 2" in environment(pid)]
    os.kill(second, signal.SIGKILL)
    assert run.end() == 1
    assert "pod 2 ended by itself with SIGKILL." in run.output
    assert all(gone(pid) for pid in started)


def test_a_second_demo_is_refused(demo: Start, folder: Path, port: int) -> None:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = demo(port)
        assert run.end() == 1
    assert run.output.strip().startswith("The demo is running already in this checkout.")


def test_a_port_in_use_is_named_before_anything_is_started(demo: Start, folder: Path, port: int) -> None:
    with socket.create_server((HOST, port + 1)):
        run = demo(port)
        assert run.end() == 1
    assert run.output == f"\nPort {port + 1} is in use. Say: make demo PORT={port + 1000}\n"
    assert not (folder / "postgres").exists()


def test_a_backplane_that_does_not_exist_is_refused(demo: Start, folder: Path, port: int) -> None:
    run = demo(port, "--backplane", "kafka")
    assert run.end() == 1
    assert run.output == "\nBACKPLANE=kafka is none of: postgres, nats. Say: make demo BACKPLANE=nats\n"
    assert not (folder / "postgres").exists()


def test_a_layer_that_does_not_exist_is_refused(demo: Start, folder: Path, port: int) -> None:
    run = demo(port, "--layer", "rabbitmq")
    assert run.end() == 1
    assert run.output == "\nLAYER=rabbitmq is none of: none, redis, backplane. Say: make demo LAYER=redis\n"
    assert not (folder / "postgres").exists()


def test_a_worker_that_dies_is_named_and_ends_the_demo(demo: Start, port: int) -> None:
    run = demo(port)
    run.wait_to_say(READY)
    [worker] = [pid for pid in descendants(run.process.pid) if "run_projectors" in arguments(pid)]
    os.kill(worker, signal.SIGKILL)
    assert run.end() == 1
    assert "the worker ended by itself with SIGKILL." in run.output


def test_the_admin_takes_the_password_that_was_printed_last(demo: Start, port: int) -> None:
    for _ in range(2):
        run = demo(port)
        run.wait_to_say(READY)
        found = re.search(r"(\S+/admin/)   user: (\S+)   password: (\S+)", run.output)
        assert found, run.output
        site, user, password = found.groups()
        landed = Script().sign_in(f"{site}login/?next=/admin/", user, password)
        assert "Dead letters" in landed, landed
        run.process.terminate()
        assert run.end() == 0


@pytest.mark.parametrize("text", ["", "web", "-1", "0", "65535", "8001.5", "²"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(DemoError, match=rf"^PORT={re.escape(text)} is no port (.|\n)*make demo PORT=9001$"):
        ports(text)


def test_a_port_that_needs_rights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr("testproject.demo.why_unusable", lambda port: denied)
    with pytest.raises(
        DemoError, match=r"^Port 80 can't be used \(Permission denied\)\. Say: make demo PORT=9001$"
    ):
        ports("80")
