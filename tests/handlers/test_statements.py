"""The statements of each delivery go the shortest way, with all that Django's way does."""

from __future__ import annotations

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from tests.conftest import POSTGRES_ALIAS
from via_state.bookkeeping.database.statements import execute

pytestmark = [
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]
ADD = "INSERT INTO via_state_outboxlane (prefix, lane, lease_owner) VALUES ('written', %s, '')"
CHANGE = "UPDATE via_state_outboxlane SET lease_owner = %(who)s WHERE prefix = 'written' AND lane > %(after)s"


def test_rows_are_counted_and_belong_to_the_transaction() -> None:
    assert [execute(POSTGRES_ALIAS, ADD, (2000 + number,)) for number in range(3)] == [1, 1, 1]
    assert execute(POSTGRES_ALIAS, CHANGE, {"who": "me 100% 'quoted' \\ ünï", "after": 2000}) == 2
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=POSTGRES_ALIAS):
        assert execute(POSTGRES_ALIAS, CHANGE, {"who": "undone", "after": 0}) == 3
        raise ZeroDivisionError
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT lease_owner FROM via_state_outboxlane WHERE prefix = 'written' ORDER BY lane")
        assert [who for (who,) in cursor.fetchall()] == ["", *["me 100% 'quoted' \\ ünï"] * 2]


def test_errors_are_djangos() -> None:
    with pytest.raises(ProgrammingError):
        execute(POSTGRES_ALIAS, "UPDATE nowhere SET x = %s", (1,))
    with transaction.atomic(using=POSTGRES_ALIAS):
        with pytest.raises(ProgrammingError), transaction.atomic(using=POSTGRES_ALIAS):
            execute(POSTGRES_ALIAS, "UPDATE nowhere SET x = %s", (1,))
        connections[POSTGRES_ALIAS].needs_rollback = True
        with pytest.raises(TransactionManagementError):
            execute(POSTGRES_ALIAS, ADD, (2000,))
        connections[POSTGRES_ALIAS].needs_rollback = False


def test_a_connection_that_ended_is_made_again() -> None:
    execute(POSTGRES_ALIAS, ADD, (2000,))
    connection = connections[POSTGRES_ALIAS]
    connection.connection.close()
    with pytest.raises((OperationalError, InterfaceError)):
        execute(POSTGRES_ALIAS, ADD, (2001,))
    connection.close()
    assert execute(POSTGRES_ALIAS, ADD, (2001,)) == 1


def test_whoever_looks_at_statements_sees_them() -> None:
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as seen:
        execute(POSTGRES_ALIAS, ADD, (2000,))
    assert len(seen) == 1
    assert "2000" in seen[0]["sql"]
