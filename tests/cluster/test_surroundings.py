"""Processes in surroundings of another kind: what works there works, and what can't says so before anything breaks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

USE = """
import django
django.setup()


"""


def run(script: str, **environment: str) -> str:
    surroundings = {**os.environ, "DJANGO_SETTINGS_MODULE": "testproject.settings_test", **environment}
    done = subprocess.run(
        [sys.executable, "-c", script], env=surroundings, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("patch", "library"),
    [
        ("from gevent import monkey; monkey.patch_all()", "gevent"),
        ("from gevent import monkey; monkey.patch_all(thread=False)", "gevent"),
        ("import eventlet; eventlet.monkey_patch()", "eventlet"),
    ],
)
def test_where_threads_are_greenlets_a_verb_is_refused_with_a_sentence_and_djangos_orm_works_on(
    patch: str, library: str
) -> None:
    script = f"""
import warnings
warnings.simplefilter("ignore")
{patch}
{USE}
from via_state.exceptions import GreenThreads
from via_state import State, StateApp
class Mine(State):
    hits = StateApp(int, key="tests.green")
for verb in (lambda: Mine.hits.set(1), Mine.hits.read, lambda: Mine.hits.update(lambda old: old + 1)):
    try:
        verb()
    except GreenThreads as error:
        print(error)
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT 42")
    print("the ORM:", cursor.fetchone()[0])
"""
    said = run(script).splitlines()
    assert len(said) == 4
    assert all(line.startswith(f"{library} has replaced the threads") for line in said[:3])
    assert said[3] == "the ORM: 42"


def test_a_system_without_forks_and_unix_modules_can_use_it() -> None:
    """As Windows is: what only Unix has is hidden when the package is imported."""
    script = f"""
import asyncio, os, select, subprocess, sys, logging.config, tempfile, multiprocessing, psycopg
for name in ("register_at_fork", "fork", "getuid", "geteuid", "getppid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("poll", "epoll"):
    if hasattr(select, name):
        delattr(select, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
{USE}
from via_state import State, StateApp
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.nats import NatsBackplane
class Mine(State):
    hits = StateApp(int, key="tests.windows")
print(Mine.hits.update(lambda old: old + 1), Mine.hits.read())
"""
    assert run(script).split() == ["1", "1"]
