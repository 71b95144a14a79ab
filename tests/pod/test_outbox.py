"""Appends that belong to a database transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import TestCase, override_settings

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.pod.board import Add, Board
from via_state.backplanes.postgres import PostgresBackplane
from via_state.exceptions import AppendTooLarge, EventRefused, NotInTransaction, SyncVerbInEventLoop
from via_state.models import OutboxRecord
from via_state.pod.pod import Pod
from via_state.testing import StateTestMixin


@pytest.fixture
def prefix() -> Iterator[str]:
    """A project of its own on the session's PostgreSQL, whose outbox is swept often."""
    name = uuid.uuid4().hex
    with override_settings(
        VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": name, "OUTBOX_INTERVAL": 0.05, "RECONCILE_INTERVAL": 0.05}
    ):
        yield name


@contextmanager
def postgres_pod(prefix: str) -> Iterator[Pod]:
    pod = Pod(PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix}))
    try:
        yield pod
    finally:
        pod.close()


def waiting(prefix: str) -> int:
    return OutboxRecord.objects.using(POSTGRES_ALIAS).filter(prefix=prefix).count()


@pytest.mark.usefixtures("postgres")
@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
class TestOutboxOnPostgres:
    def test_a_commit_appends_in_order_and_a_rollback_does_not(self, prefix: str) -> None:
        with postgres_pod(prefix) as pod:
            numbers = Board.numbers.using(pod)
            for start in (0, 10):
                with transaction.atomic(using=POSTGRES_ALIAS):
                    for number in range(start, start + 5):
                        numbers.append_on_commit(Add(number))
                    assert numbers.read() == list(range(start))[:5], "nothing before the commit"
                pod.drain()
            with pytest.raises(RuntimeError), transaction.atomic(using=POSTGRES_ALIAS):
                numbers.append_on_commit(Add(99))
                raise RuntimeError
            pod.drain()
            assert numbers.read() == [*range(5), *range(10, 15)]
            assert waiting(prefix) == 0

    def test_outside_a_transaction_it_appends_at_once(self, prefix: str) -> None:
        with postgres_pod(prefix) as pod:
            Board.numbers.using(pod).append_on_commit(Add(1))
            pod.drain()
            assert Board.numbers.using(pod).read() == [1]

    def test_another_process_moves_what_a_killed_one_left(
        self, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with postgres_pod(prefix) as killed:
            monkeypatch.setattr(killed.outbox, "_ring", lambda lane: None)  # it dies right after the commit
            monkeypatch.setattr(killed.outbox, "_written", set())
            for number in range(3):
                Board.numbers.using(killed).append_on_commit(Add(number))
        assert waiting(prefix) == 3
        with postgres_pod(prefix) as other:
            numbers = Board.numbers.using(other)
            numbers.read()
            wait_until(lambda: numbers.read() == [0, 1, 2], "the sweep")
        assert waiting(prefix) == 0

    def test_several_relays_at_once_keep_each_keys_order(self, prefix: str) -> None:
        with postgres_pod(prefix) as one, postgres_pod(prefix) as other:
            for number in range(60):
                Board.numbers.using(one if number % 2 else other).append_on_commit(Add(number))
            one.drain()
            other.drain()
            last = Board.numbers.using(one).append(Add(60))
            assert Board.numbers.using(one).read(at_least=last) == list(range(61))

    def test_what_can_not_be_appended_is_refused_at_once(self, prefix: str) -> None:
        with postgres_pod(prefix) as pod:
            with pytest.raises(EventRefused):
                Board.numbers.using(pod).append_on_commit(Add("one"))  # type: ignore[arg-type]
            pod.backplane.max_append_bytes = 3
            with pytest.raises(AppendTooLarge):
                Board.numbers.using(pod).append_on_commit(Add(1))
            assert waiting(prefix) == 0


@pytest.mark.usefixtures("postgres")
@pytest.mark.django_db(databases=["default", POSTGRES_ALIAS], transaction=True)
class TestTransactionsOfAnotherDatabase:
    def test_an_append_there_is_refused(self, prefix: str) -> None:
        with postgres_pod(prefix) as pod:
            numbers = Board.numbers.using(pod)
            with pytest.raises(NotInTransaction, match=r"'default'.*'postgres'.*append\(\)"), transaction.atomic():
                numbers.append_on_commit(Add(1))
            with transaction.atomic(), transaction.atomic(using=POSTGRES_ALIAS):
                numbers.append_on_commit(Add(2))
            transaction.set_autocommit(False)
            try:
                with pytest.raises(NotInTransaction):
                    numbers.append_on_commit(Add(3))
            finally:
                transaction.rollback()
                transaction.set_autocommit(True)
            numbers.append_on_commit(Add(4))
            pod.drain()
            assert numbers.read() == [2, 4]

    def test_also_in_memory(self, state_pod: Pod) -> None:
        with pytest.raises(NotInTransaction), transaction.atomic(using=POSTGRES_ALIAS):
            Board.numbers.append_on_commit(Add(1))
        assert Board.numbers.read() == []


class TestAnotherDatabaseInATestCase(StateTestMixin, TestCase):
    databases = {"default", POSTGRES_ALIAS}

    def test_the_transactions_that_a_test_case_opens_do_not_count(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            Board.numbers.append_on_commit(Add(1))
        with pytest.raises(NotInTransaction), transaction.atomic(using=POSTGRES_ALIAS):
            Board.numbers.append_on_commit(Add(2))
        assert Board.numbers.read() == [1]


class TestOutboxInMemory(StateTestMixin, TestCase):
    def test_a_commit_appends_and_a_rollback_does_not(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            with transaction.atomic():
                Board.numbers.append_on_commit(Add(1))
            with pytest.raises(RuntimeError), transaction.atomic():
                Board.numbers.append_on_commit(Add(2))
                raise RuntimeError
            assert Board.numbers.read() == []
        assert Board.numbers.read() == [1]

    def test_the_async_twin(self) -> None:
        async def in_a_loop() -> None:
            with pytest.raises(SyncVerbInEventLoop, match="aappend_on_commit"):
                Board.numbers.append_on_commit(Add(1))
            await Board.numbers.aappend_on_commit(Add(1))

        with self.captureOnCommitCallbacks(execute=True):
            async_to_sync(in_a_loop)()
        assert Board.numbers.read() == [1]
