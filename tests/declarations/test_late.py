"""What is declared where not every process looks is said, in a process that is not a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
from dataclasses import dataclass
import django
django.setup()
from django.core import checks
from testproject.counter.state import Counter
from via_state import State, StateAppEvents
from via_state.exceptions import DeclarationError

@dataclass
class Tick:
    def fold(self, ticks: int) -> int:
        return ticks + 1

def declare():
    class Late(State):
        ticks = StateAppEvents(Tick)
    return Late

Late = declare()

@Late.ticks.on_event("count")
def count(event, delivery): ...

for name, event in (("foreign", str), ("count", Tick)):
    try:
        @Late.ticks.on_event(name, event)
        def other(event, delivery): ...
    except DeclarationError as error:
        print("refused:", error)
print(sorted(Late.ticks.definition.handlers))
for message in checks.run_checks(tags=["via_state"]):
    print(message.id, message.msg)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "testproject.settings"}
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_what_is_declared_after_django_has_started_is_said_and_looked_at() -> None:
    done = run(SCRIPT)
    assert done.returncode == 0, done.stderr
    refused, same, names, *found = done.stdout.splitlines()
    assert "wants str, which this log does not have" in refused
    assert "has this name already" in same
    assert names == "['count']"
    late = [line for line in found if line.startswith("via_state.W009")]
    assert len(late) == 2
    assert "__main__.Late is declared in __main__ after Django had started" in late[0]
    assert "The event handler 'count' of __main__.Late.ticks is declared in __main__" in late[1]
    assert done.stderr.count("workers among them, may not know it") == 2


def test_what_autodiscovery_finds_is_not_late() -> None:
    script = """
import django
django.setup()
from django.core import checks
from via_state.declarations.registry import registry
assert list(registry.definitions())
print([one.id for one in checks.run_checks(tags=["via_state"]) if one.id.endswith("W009")])
"""
    done = run(script)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_what_a_reloaded_module_declares_again_is_not_late() -> None:
    script = """
import importlib
import django
django.setup()
from testproject.banner import state as banner
from testproject.chat import state as chat
from testproject.orders import state as orders
from via_state.declarations.registry import registry
for module in (banner, chat, orders):
    importlib.reload(module)
print(registry.late)
"""
    done = run(script)
    assert (done.stdout.strip(), done.stderr) == ("{}", "")


def test_what_a_conftest_declares_is_a_tests(tmp_path: Path) -> None:
    """It is imported before pytest has configured its plugins, and after Django has started."""
    (tmp_path / "conftest.py").write_text(
        "from via_state import State, StateApp\n\nclass OfConftest(State):\n    hits = StateApp(int)\n"
    )
    (tmp_path / "test_it.py").write_text(
        "from via_state.declarations.registry import registry\n\ndef test_it():\n    assert registry.late == {}\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            "-c",
            os.devnull,
            tmp_path,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "testproject.settings_test"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
