"""No test reaches the project's backplane unless it asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import unittest
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, TestCase, override_settings
from django.utils.module_loading import import_string

from tests.conftest import POSTGRES_ALIAS
from tests.pod.board import Add, Board
from tests.testing.outside import outside_of_tests
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.conf import settings as via_settings
from via_state.pod.default import current_pod
from via_state.runtime.loop import current_loop
from via_state.testing import StateTestMixin, drain, memory_pod, settings_pod

pytestmark = pytest.mark.usefixtures("postgres", "nats")
BACKENDS = {
    "postgres": "via_state.backplanes.postgres.PostgresBackplane",
    "nats": "via_state.backplanes.nats.NatsBackplane",
}

EVERY = {POSTGRES_ALIAS, "default"}
with_database = pytest.mark.django_db(databases=EVERY)
with_commits = pytest.mark.django_db(databases=EVERY, transaction=True)


def keys(plane: Backplane) -> list[str]:
    """What is there, logs and cells."""

    async def look() -> list[str]:
        return [*await plane.logs(""), *await plane.cells("")]

    return current_loop().call(look())


@pytest.fixture(params=BACKENDS)
def written(request: pytest.FixtureRequest) -> Iterator[Callable[[], list[str]]]:
    """A project on a durable backplane; the keys that it holds."""
    prefix = uuid.uuid4().hex
    options = (
        {"SERVERS": f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"}
        if request.param == "nats"
        else {}
    )
    kind: Any = {"postgres": PostgresBackplane, "nats": NatsBackplane}[request.param]
    plane = kind({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix, **options})
    changed = {
        "BACKEND": BACKENDS[request.param], "OPTIONS": options, "DATABASE": POSTGRES_ALIAS, "PREFIX": prefix
    }  # fmt: skip
    with override_settings(VIA_STATE=changed):
        yield lambda: keys(plane)
    current_loop().call(plane.close())


def write() -> None:
    Board.numbers.append(Add(1))
    Board.hits.set(7)
    Board.numbers.append_on_commit(Add(2))


def run(case: type[unittest.TestCase]) -> None:
    """As a runner does, with the fixtures of the class."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]


def test_without_a_mark_or_a_fixture(written: Callable[[], list[str]]) -> None:
    Board.numbers.append(Add(1))
    Board.hits.set(7)
    assert (Board.numbers.read(), Board.hits.read()) == ([1], 7)
    assert written() == []


def test_a_simple_test_case(written: Callable[[], list[str]]) -> None:
    class Case(SimpleTestCase):
        def test_it(self) -> None:
            Board.numbers.append(Add(1))
            Board.hits.set(7)

        async def test_it_in_a_loop(self) -> None:
            await Board.hits.aset(7)

    run(Case)
    assert written() == []


@with_database
def test_what_a_class_sets_up_for_its_tests(written: Callable[[], list[str]]) -> None:
    class Case(StateTestMixin, TestCase):
        databases = EVERY

        @classmethod
        def setUpTestData(cls) -> None:
            write()

        def test_it(self) -> None:
            assert Board.hits.read() == 0
            write()

    run(Case)
    assert written() == []


def test_the_mixin_in_the_wrong_order_is_refused() -> None:
    with pytest.raises(TypeError, match="Put it before TestCase"):

        class Case(TestCase, StateTestMixin):
            pass


@with_database
def test_a_set_up_that_forgets_super(written: Callable[[], list[str]]) -> None:
    class Case(StateTestMixin, TestCase):
        databases = EVERY

        def setUp(self) -> None:
            assert Board.numbers.read() == [], "also the second of two tests begins with empty state"
            Board.numbers.append(Add(1))

        def test_it(self) -> None:
            write()

        def test_it_again(self) -> None:
            self.pod.drain()
            assert Board.numbers.read() == [1]

    run(Case)
    assert written() == []


@with_database
def test_a_setting_that_changes_inside_a_test(written: Callable[[], list[str]]) -> None:
    class Case(StateTestMixin, TestCase):
        databases = EVERY

        def test_it(self) -> None:
            with override_settings(VIA_STATE={**settings.VIA_STATE, "READ_TIMEOUT": 1.0}):
                write()

    run(Case)
    assert written() == []


@with_commits
def test_a_pod_that_was_there_before_the_tests(written: Callable[[], list[str]]) -> None:
    with outside_of_tests():
        outside = current_pod()
        Board.hits.set(5)
    assert outside.backplane.durable
    assert isinstance(current_pod().backplane, MemoryBackplane)
    write()
    assert written() == [Board.hits.key], "what was written before, and nothing since"


@with_commits
def test_who_asks_for_the_projects_backplane_has_it(written: Callable[[], list[str]]) -> None:
    class Case(StateTestMixin, SimpleTestCase):
        state_backplane = "settings"

        def test_it(self) -> None:
            assert self.pod.backplane.durable
            with override_settings(VIA_STATE={**settings.VIA_STATE, "READ_TIMEOUT": 1.0}):
                Board.hits.set(7)
                assert keys(current_pod().backplane) == [Board.hits.key]

    run(Case)
    with settings_pod():
        Board.hits.set(7)
        with memory_pod():
            assert Board.hits.read() == 0
        assert Board.hits.read() == 7
    assert Board.hits.read() == 0


@with_commits
def test_who_asks_for_the_projects_backplane_finds_it_empty_and_leaves_nothing(
    written: Callable[[], list[str]],
) -> None:
    stored = stored_under()
    prefixes = []
    for _ in range(2):
        with settings_pod():
            assert (Board.numbers.read(), Board.hits.read()) == ([], 0)
            Board.numbers.append(Add(1))
            Board.numbers.append_on_commit(Add(2))
            Board.hits.set(7)
            drain()
            assert Board.numbers.read() == [1, 2]
            prefixes.append(via_settings.PREFIX)
    assert len(set(prefixes)) == 2
    assert written() == []
    for prefix in prefixes:
        assert stored(prefix) == []


def stored_under() -> Callable[[str], list[str]]:
    """What is stored under a prefix, by the backplane of ``VIA_STATE``."""
    options = via_settings.backplane_options()
    kind: Any = import_string(via_settings.BACKEND)

    def stored(prefix: str) -> list[str]:
        plane = kind({**options, "PREFIX": prefix})
        try:
            return keys(plane)
        finally:
            current_loop().call(plane.close())

    return stored


def test_another_word_for_the_backplane_is_refused() -> None:
    with pytest.raises(TypeError, match='Write "memory" or "settings"'):

        class Case(StateTestMixin, TestCase):
            state_backplane = "nats"  # type: ignore[assignment]


@with_commits
def test_a_command_in_a_test_says_how_to_ask(written: Callable[[], list[str]]) -> None:
    with pytest.raises(CommandError, match="settings_pod of"):
        call_command("state_status")
    with settings_pod():
        call_command("state_status")


def test_pytest_without_djangos_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import django\n\ndjango.setup()\n")
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent(
            """
            def test_it():
                from via_state import current_pod
                assert not current_pod().backplane.durable

            def test_who_asks(settings_pod):
                assert settings_pod.backplane.durable
            """
        )
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
        "VIA_DATABASE_PORT": "1",
        "VIA_DATABASE_NAME": "nowhere",
        "VIA_PREFIX": uuid.uuid4().hex,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:django", "-p", "no:randomly", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
