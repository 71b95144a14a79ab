"""However many rows there are, a list reads few of them: each query goes by an index, and nothing counts to the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from tests.admin.office import Office, changelist
from tests.conftest import POSTGRES_ALIAS
from via_state.admin import changelist as lists
from via_state.models import EventHandler

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

ROWS = 50_000
#: Of one query; a page of 50 rows, and what is counted.
MOST_READ = lists.COUNTED + 1

LETTERS = """
    INSERT INTO via_state_deadletter (prefix, log, handler, key, epoch, "offset", record_id, event_name, event_version,
        payload, error, traceback, attempts, buried_at, status, settled_by)
    SELECT %(prefix)s, 'orders', 'handler' || n %% 10, 'room.' || n %% 5000, 'e', n, md5(n::text) || '-0',
        'Event' || n %% 20, 1, '{}', 'no', repeat('line ', 100), 8, now() - n * interval '1 second',
        CASE WHEN n %% 2 = 0 THEN 'replayed' ELSE 'new' END, ''
    FROM generate_series(1, %(rows)s) AS n
"""
POSITIONS = """
    INSERT INTO via_state_handlerposition (handler_id, slot, key, epoch, "offset", record_id, from_floor, trying, attempts,
        stuck_since, last_error, halted, halted_text, worker, fence)
    SELECT %(handler)s, md5(n::text), 'room.' || n, 'e', n, 'r', FALSE, 0, CASE WHEN n %% 1000 = 0 THEN 3 ELSE 0 END,
        CASE WHEN n %% 1000 = 0 THEN now() END, '', '', '', '', 0
    FROM generate_series(1, %(rows)s) AS n
"""
SNAPSHOTS = """
    INSERT INTO via_state_snapshot (log, fingerprint, prefix, name, key, epoch, version, manifest, "offset", record_id,
        digest, data, saved_at, marked, settled, compacted, holder, diverged)
    SELECT md5(%(prefix)s || n), 'f', %(prefix)s, 'room.{room}', 'room.' || n, 'e', 1, '{}', n, 'r', '', '\\x00', now(), 0, 0,
        0, '', ''
    FROM generate_series(1, %(rows)s) AS n
"""


@dataclass
class Crowd:
    office: Office
    handler: EventHandler


@pytest.fixture
def crowd(office: Office) -> Iterator[Crowd]:
    prefix = office.shop.world.prefix
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(
            "INSERT INTO via_state_eventhandler (prefix, log, name, start, atomic, ready, registered_at) "
            "VALUES (%s, 'orders', 'ship', 'first', FALSE, TRUE, now())",
            [prefix],
        )
        handler = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=prefix)
        for sql in (LETTERS, POSITIONS, SNAPSHOTS):
            cursor.execute(sql, {"prefix": prefix, "rows": ROWS, "handler": handler.pk})
        for table in ("deadletter", "handlerposition", "snapshot", "eventhandler"):
            cursor.execute(f"ANALYZE via_state_{table}")
    yield Crowd(office, handler)


def reads(sql: str) -> list[tuple[str, float]]:
    """What PostgreSQL did for a query: each scan of one of our big tables, and the rows that it read there."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        (found,) = cursor.fetchone()
    plan = found if isinstance(found, list) else json.loads(found)
    return list(_scans(plan[0]["Plan"]))


def _scans(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if (
        node.get("Relation Name", "").startswith("via_state_")
        and node["Relation Name"] != "via_state_eventhandler"
    ):
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        yield node["Node Type"], read
    for inner in node.get("Plans", ()):
        yield from _scans(inner)


@pytest.mark.parametrize(
    ("model", "question"),
    [
        ("deadletter", {}),
        ("deadletter", {"p": "150"}),
        ("deadletter", {"o": "7"}),
        ("deadletter", {"status__exact": "new"}),
        ("deadletter", {"status__exact": "discarded"}),
        ("deadletter", {"handler": "handler3"}),
        ("deadletter", {"handler": "handler4", "status__exact": "new"}),
        ("deadletter", {"log": "orders"}),
        ("deadletter", {"event_name": "Event7"}),
        ("deadletter", {"q": "room.77"}),
        ("deadletter", {"q": "room."}),
        ("deadletter", {"q": "nothing"}),
        ("deadletter", {"q": "f899139df5e1059396431415e770c6dd-0"}),
        ("handlerposition", {}),
        ("handlerposition", {"state": "stuck"}),
        ("handlerposition", {"state": "halted"}),
        ("handlerposition", {"state": "running"}),
        ("handlerposition", {"q": "room.77"}),
        ("handlerposition", {"q": "nothing"}),
        ("eventhandler", {}),
        ("snapshotrow", {}),
        ("snapshotrow", {"q": "room.77"}),
    ],
    ids=str,
)
def test_a_list_reads_few_rows(crowd: Crowd, model: str, question: dict[str, str]) -> None:
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
        crowd.office.get(f"{changelist(model)}?{urlencode(question)}")
    asked = [one["sql"] for one in queries.captured_queries if one["sql"].startswith("SELECT")]
    assert 3 <= len(asked) <= 20
    for sql in asked:
        assert "DISTINCT" not in sql
        assert "COUNT(" not in sql or "LIMIT" in sql, sql
        assert '"traceback"' not in sql, sql
        for scan, read in reads(sql):
            assert scan != "Seq Scan", sql
            assert read <= MOST_READ, (read, sql)


def test_more_rows_than_are_counted_are_mentioned(crowd: Crowd) -> None:
    page = crowd.office.get(changelist("deadletter"))
    assert "10000 poisoned records" in page
    assert "There are more than 10000" in page
    assert "There are more" not in crowd.office.get(f"{changelist('deadletter')}?q=room.77")
    page = crowd.office.get(changelist("eventhandler"))
    assert "more than 1,000" in page
    assert "see its positions" in page


def test_selecting_all_takes_no_more_than_one_request_may(crowd: Crowd) -> None:
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
        page = crowd.office.act("deadletter", "discard_selected", 1, across=True).content.decode()
    assert "You selected more than 100" in page
    assert page.count("room.") >= 100
    assert len(queries) < 120
