"""What keeps a command from its work is one sentence and exit code 2."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.core.management.color import make_style
from django.db import OperationalError

from testproject.servers.nats import Nats
from testproject.servers.ports import free_port
from tests.cluster.failing_commands import COMMANDS
from via_state.exceptions import BackplaneUnavailable
from via_state.management import commands
from via_state.management.base import StateCommand, counted


def test_every_command_is_tried() -> None:
    names = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert names == {command[0] for command in COMMANDS}


@pytest.mark.parametrize(
    ("backplane", "state"), [("postgres", "down"), ("postgres", "not migrated"), ("nats", "not migrated")]
)
def test_a_database_that_does_not_answer_is_one_sentence(
    postgres_environment: dict[str, str], nats: Nats, backplane: str, state: str
) -> None:
    environment = {**os.environ, **postgres_environment, "VIA_PREFIX": "commands"}
    environment |= {"DJANGO_SETTINGS_MODULE": "tests.cluster.settings"}
    if state == "down":
        environment["VIA_DATABASE_PORT"] = str(free_port())
    else:
        environment["VIA_DATABASE_NAME"] = settings.POSTGRES_NAME
    if backplane == "nats":
        environment["VIA_NATS_SERVERS"] = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{nats.port}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.failing_commands"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    code, said = ends.pop("state_doctor")  # what keeps others from their work is what it finds
    assert (code, "Error" in said) == (1, False), said
    if backplane == "nats":
        assert ends.pop("compact_state") == [0, ""], "without logs it needs no database"
        assert ends.pop("state_load")[0] == 0, "it needs none; its log may say that the outbox does"
    for command, (code, said) in ends.items():
        sentence = said.splitlines()[-1]
        assert (code, "Traceback" in said) == (2, False), (command, said)
        assert sentence.startswith("CommandError: "), (command, said)
        assert ("manage.py migrate --database default" in sentence) == (state == "not migrated"), (command, said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BackplaneUnavailable("it is\naway"), r"^it is\\naway$"),
        (OperationalError("no\nanswer"), "^The database 'default' can't be reached: no answer$"),
        (ImproperlyConfigured("no ENGINE"), "^no ENGINE$"),
    ],
    ids=["ours", "database", "settings"],
)
def test_an_error_is_one_sentence_and_keeps_its_cause(error: Exception, said: str) -> None:
    class Failing(StateCommand):
        def answer(self, *args: Any, **options: Any) -> None:
            raise error

    with pytest.raises(CommandError, match=said) as caught:
        Failing().handle()
    assert (caught.value.returncode, caught.value.__cause__) == (2, error)


def test_ctrl_c_is_one_word_on_the_command_line_and_the_callers_own_elsewhere() -> None:
    class Interrupted(StateCommand):
        def answer(self, *args: Any, **options: Any) -> None:
            raise KeyboardInterrupt

    command = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        command.handle()
    command._called_from_command_line = True  # type: ignore[attr-defined]
    with pytest.raises(CommandError, match=r"^Interrupted\.$") as caught:
        command.handle()
    assert caught.value.returncode == 130


def test_only_errors_are_red() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class Telling(StateCommand):
        def answer(self, *args: Any, **options: Any) -> None:
            self.progress("half of it")
            self.stderr.write(self.style.WARNING("careful"))
            self.stderr.write("broken")

    out = Terminal()
    style = make_style("error=red;warning=yellow")
    command = Telling(stderr=out)
    command.style, command.stderr.style_func = style, style.ERROR
    command.handle()
    red, yellow = "\x1b[31m", "\x1b[33m"
    assert out.getvalue() == f"\r\x1b[Khalf of it{yellow}careful\x1b[0m\n{red}broken\n\x1b[0m\r\x1b[K"


def test_one_is_not_several() -> None:
    assert [counted(number, "log") for number in (0, 1, 2, 1000)] == ["0 logs", "1 log", "2 logs", "1,000 logs"]
