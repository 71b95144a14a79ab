"""Child processes, and the ports that they listen on."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from testproject.servers.ports import CHOICE, HOST, answers, free_port, why_unusable
from testproject.servers.process import Process, ServerError
from testproject.servers.waiting import wait_until
from tests.cluster.processes import gone

READY_AND_DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
)
PARENT = """
import sys, time
from pathlib import Path
from testproject.servers.process import Process
child = Process("child", [sys.executable, "-c", "import signal; signal.pause()"], Path(sys.argv[1]))
child.start(lambda: True)
print(child.pid, flush=True)
time.sleep(60)
"""
# SIGTERM comes when the child is there, and nobody knows it yet.
INTERRUPTED = """
import os, signal, subprocess, sys
from pathlib import Path
from testproject.servers import process

class Popen(subprocess.Popen):
    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        print(self.pid, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

def stop(number, frame):
    raise KeyboardInterrupt

subprocess.Popen = Popen
signal.signal(signal.SIGTERM, stop)
command = [sys.executable, "-c", "import signal; signal.pause()"]
child = process.Process("child", command, Path(sys.argv[1]))
try:
    START
except KeyboardInterrupt:
    child.stop()
    print("stopped", flush=True)
sys.stdin.read()
"""


def python(code: str, log: Path) -> Process:
    return Process("the program", [sys.executable, "-u", "-c", code], log)


def logged(process: Process, text: str) -> bool:
    return text in process.log.read_text()


def test_a_child_that_ends_at_once_says_how_and_why(tmp_path: Path) -> None:
    process = python("import sys; sys.exit('the disk is full')", tmp_path / "log")
    with pytest.raises(ServerError, match=r"ended by itself with status 1(.|\n)*the disk is full"):
        process.start(lambda: False)


def test_a_child_that_ends_in_silence_says_that(tmp_path: Path) -> None:
    process = python("import os; os.kill(os.getpid(), 9)", tmp_path / "log")
    with pytest.raises(ServerError, match=r"with SIGKILL\. It logged nothing"):
        process.start(lambda: False)


def test_earlier_lives_in_the_log_are_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("an old story\n")
    process = python("raise SystemExit('news')", tmp_path / "log")
    with pytest.raises(ServerError, match="news") as raised:
        process.start(lambda: False)
    assert "old story" not in str(raised.value)
    assert logged(process, "old story")


def test_a_child_that_does_not_get_ready_is_killed(tmp_path: Path) -> None:
    process = python(READY_AND_DEAF, tmp_path / "log")
    with pytest.raises(ServerError, match=r"did not happen within 0\.5 s"):
        process.start(lambda: False, timeout=0.5)
    assert not process.running


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    process = python(READY_AND_DEAF, tmp_path / "log")
    process.start(lambda: logged(process, "ready"))
    process.stop(timeout=0.2)
    assert gone(process.pid)


def test_stopping_a_child_twice_is_harmless(tmp_path: Path) -> None:
    process = python("print('ready'); import signal; signal.pause()", tmp_path / "log")
    process.stop()
    process.start(lambda: logged(process, "ready"))
    process.stop()
    process.stop()
    assert not process.running


def test_a_child_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
        parent.wait()
    wait_until(lambda: gone(child), "the end of the child")


@pytest.mark.parametrize("start", ["child.start(lambda: False)", "process.run(command)"])
def test_a_child_is_stopped_although_its_parent_was_told_to_stop_while_it_made_it(
    tmp_path: Path, start: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.replace("START", start), str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "stopped\n"
        assert gone(child)


def test_a_child_gets_what_its_parent_was_told_to_wait_for(tmp_path: Path) -> None:
    process = python(
        "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), 'is blocked')", tmp_path / "log"
    )
    with pytest.raises(ServerError, match=r"set\(\) is blocked"):
        process.start(lambda: False)


def test_a_free_port_is_none_of_those_for_outgoing_connections() -> None:
    port = free_port()
    assert port in CHOICE
    assert not answers(port)


def test_a_port_in_use_is_known_as_such() -> None:
    port = free_port()
    assert why_unusable(port) is None
    with socket.create_server((HOST, port)):
        error = why_unusable(port)
        assert error is not None
        assert error.errno == errno.EADDRINUSE
        assert answers(port)
