"""The statements of each delivery go the shortest way, with all that Django's way does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from django.db import DataError, InterfaceError, OperationalError, ProgrammingError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from tests.conftest import POSTGRES_ALIAS
from via_state.bookkeeping.database import prepared
from via_state.bookkeeping.database.prepared import execute_prepared
from via_state.bookkeeping.database.statements import execute

pytestmark = [
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]
ADD = "INSERT INTO via_state_outboxlane (prefix, lane, lease_owner) VALUES ('written', %s, '')"
CHANGE = "UPDATE via_state_outboxlane SET lease_owner = %(who)s WHERE prefix = 'written' AND lane > %(after)s"

Execute: TypeAlias = Callable[[str, str, Any], int]


@pytest.fixture(params=[execute, execute_prepared], ids=["straight", "prepared"])
def way(request: pytest.FixtureRequest) -> Execute:
    return request.param  # type: ignore[no-any-return]


def test_rows_are_counted_and_belong_to_the_transaction(way: Execute) -> None:
    assert [way(POSTGRES_ALIAS, ADD, (2000 + number,)) for number in range(3)] == [1, 1, 1]
    assert way(POSTGRES_ALIAS, CHANGE, {"who": "me 100% 'quoted' \\ ünï", "after": 2000}) == 2
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=POSTGRES_ALIAS):
        assert way(POSTGRES_ALIAS, CHANGE, {"who": "undone", "after": 0}) == 3
        raise ZeroDivisionError
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT lease_owner FROM via_state_outboxlane WHERE prefix = 'written' ORDER BY lane")
        assert [who for (who,) in cursor.fetchall()] == ["", *["me 100% 'quoted' \\ ünï"] * 2]


def test_errors_are_djangos(way: Execute) -> None:
    with pytest.raises(ProgrammingError):
        way(POSTGRES_ALIAS, "UPDATE nowhere SET x = %s", (1,))
    with transaction.atomic(using=POSTGRES_ALIAS):
        with pytest.raises(ProgrammingError), transaction.atomic(using=POSTGRES_ALIAS):
            way(POSTGRES_ALIAS, "UPDATE nowhere SET x = %s", (1,))
        connections[POSTGRES_ALIAS].needs_rollback = True
        with pytest.raises(TransactionManagementError):
            way(POSTGRES_ALIAS, ADD, (2000,))
        connections[POSTGRES_ALIAS].needs_rollback = False


def test_a_connection_that_ended_is_made_again(way: Execute) -> None:
    way(POSTGRES_ALIAS, ADD, (2000,))
    connection = connections[POSTGRES_ALIAS]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    another = connection.copy()
    with another.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    another.close()
    with pytest.raises((OperationalError, InterfaceError)):
        way(POSTGRES_ALIAS, ADD, (2001,))
    connection.close()
    assert way(POSTGRES_ALIAS, ADD, (2001,)) == 1


def test_whoever_looks_at_statements_sees_them(way: Execute) -> None:
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as seen:
        way(POSTGRES_ALIAS, ADD, (2000,))
    assert len(seen) == 1
    assert "2000" in seen[0]["sql"]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without prepared statements, of a database that has forgotten none."""
    monkeypatch.setattr(prepared, "_forgetful", set())
    connections[POSTGRES_ALIAS].close()


def kept() -> list[str]:
    """What is prepared in the session."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_the_server_keeps_the_plan_of_a_statement_and_those_of_the_project_are_not_prepared(fresh: None) -> None:
    for number in range(10):
        assert execute_prepared(POSTGRES_ALIAS, ADD, (2000 + number,)) == 1
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 'of the project'")
    assert kept() == [ADD.replace("%s", "$1")]


@pytest.mark.parametrize(
    "said",
    [{"DISABLE_SERVER_SIDE_CURSORS": True}, {"OPTIONS": {"prepare_threshold": None}}],
    ids=["pooler", "option"],
)
def test_nothing_is_prepared_where_the_project_says_so(
    fresh: None, monkeypatch: pytest.MonkeyPatch, said: dict[str, object]
) -> None:
    connection = connections[POSTGRES_ALIAS]
    monkeypatch.setattr(connection, "settings_dict", {**connection.settings_dict, **said})
    for number in range(10):
        assert execute_prepared(POSTGRES_ALIAS, ADD, (2000 + number,)) == 1
    assert kept() == []


def test_texts_and_large_numbers_arrive_as_they_are(fresh: None) -> None:
    text, number = "100% 'quoted' \\ ünï \n", 2**31
    sql = "INSERT INTO via_state_outboxlane (prefix, lane, lease_owner) VALUES ('written', %(lane)s / %(by)s, %(who)s)"
    assert execute_prepared(POSTGRES_ALIAS, sql, {"who": text, "lane": 2500 * number, "by": number}) == 1
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT lease_owner FROM via_state_outboxlane WHERE prefix = 'written' AND lane = 2500")
        assert cursor.fetchone() == (text,)
    with pytest.raises(DataError):
        execute_prepared(POSTGRES_ALIAS, sql, {"who": "a\0b", "lane": number, "by": number})


def forget() -> None:
    """What a pooler does that gives a client another session."""
    connections[POSTGRES_ALIAS].connection.pgconn.exec_(b"DEALLOCATE ALL")


def test_a_session_that_forgets_what_was_prepared_fails_no_statement(
    fresh: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert execute_prepared(POSTGRES_ALIAS, ADD, (2000,)) == 1
    forget()
    with caplog.at_level(logging.WARNING, "via_state"):
        for number in range(1, 5):
            assert execute_prepared(POSTGRES_ALIAS, ADD, (2000 + number,)) == 1
    assert ["DISABLE_SERVER_SIDE_CURSORS" in record.getMessage() for record in caplog.records] == [True]
    assert kept() == []


def test_a_transaction_that_meets_such_a_session_is_undone_and_the_next_one_is_not(fresh: None) -> None:
    assert execute_prepared(POSTGRES_ALIAS, ADD, (2000,)) == 1
    forget()
    with pytest.raises(ProgrammingError), transaction.atomic(using=POSTGRES_ALIAS):
        execute(POSTGRES_ALIAS, ADD, (2001,))
        execute_prepared(POSTGRES_ALIAS, ADD, (2002,))
    with transaction.atomic(using=POSTGRES_ALIAS):
        execute(POSTGRES_ALIAS, ADD, (2001,))
        assert execute_prepared(POSTGRES_ALIAS, ADD, (2002,)) == 1
