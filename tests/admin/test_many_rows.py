"""However many rows there are, a list reads few of them: each query goes by an index, and nothing counts to the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from tests.admin.office import Office, changelist
from tests.conftest import POSTGRES_ALIAS
from via_state.admin import changelist as lists
from via_state.models import EventHandler
from via_state.operations import condition, truth

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

ROWS = 50_000
#: Of one query: what is counted, and a little more.
MOST_READ = lists.COUNTED + 100

LETTERS = """
    INSERT INTO via_state_deadletter (prefix, template, handler, key, epoch, "offset", record_id, event_name, event_version,
        payload, reason, error, traceback, attempts, added_at, status, resolved_by)
    SELECT %(prefix)s, 'orders', 'handler' || n %% 10, 'room.' || n %% 5000, 'e', n, md5(n::text) || '-0',
        'Event' || n %% 20, 1, '{}', 'failed', 'no', repeat('line ', 100), 8, now() - n * interval '1 second',
        CASE WHEN n %% 2 = 0 THEN 'replayed' ELSE 'new' END, ''
    FROM generate_series(1, %(rows)s) AS n
"""
POSITIONS = """
    INSERT INTO via_state_handlerposition (handler_id, position_hash, key, epoch, "offset", record_id, from_floor, in_flight_offset, attempts,
        stuck_since, last_error, last_traceback, halted, halted_text, worker, fence)
    SELECT %(handler)s, md5(%(handler)s || ' ' || n), 'room.' || n, 'e', n, 'r', FALSE, 0, CASE WHEN n %% 1000 = 0 THEN 3 ELSE 0 END,
        CASE WHEN n %% 1000 = 0 THEN now() END, '', '', '', '', '', 0
    FROM generate_series(1, %(rows)s) AS n
"""
SNAPSHOTS = """
    INSERT INTO via_state_snapshot (log_hash, fingerprint, prefix, template, key, epoch, version, manifest, "offset", record_id,
        digest, data, saved_at, candidate, compactable, compacted, lease_owner, diverged, candidate_record_id, compactable_record_id)
    SELECT md5(%(prefix)s || n), 'f', %(prefix)s, 'room.{room}', 'room.' || n, 'e', 1, '{}', n, 'r', '', '\\x00', now(), 0, 0,
        0, '', '', '', ''
    FROM generate_series(1, %(rows)s) AS n
"""


@dataclass
class Crowd:
    office: Office
    handler: EventHandler


#: What a list shows, and counts.
TABLES = {"deadletter": LETTERS, "handlerposition": POSITIONS, "eventhandler": POSITIONS, "snapshotrow": SNAPSHOTS}


@pytest.fixture
def crowd(office: Office, request: pytest.FixtureRequest) -> Crowd:
    """An office with many rows in the tables of these lists."""
    prefix = office.shop.world.prefix
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(
            "INSERT INTO via_state_eventhandler (prefix, template, name, start, atomic, ready, registered_at) "
            "VALUES (%s, 'orders', 'ship', 'first', FALSE, TRUE, now())",
            [prefix],
        )
        handler = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=prefix)
        for sql in {TABLES[model] for model in request.param}:
            cursor.execute(sql, {"prefix": prefix, "rows": ROWS, "handler": handler.pk})
        for table in ("deadletter", "handlerposition", "snapshot", "eventhandler"):
            cursor.execute(f"ANALYZE via_state_{table}")
    return Crowd(office, handler)


def rows_read(sql: str) -> float:
    """How many rows of our big tables PostgreSQL looked at for a query, also those that it then left out."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        (found,) = cursor.fetchone()
    plan = found if isinstance(found, list) else json.loads(found)
    return sum(_scans(plan[0]["Plan"]))


def _scans(node: dict[str, Any]) -> Iterator[float]:
    if node.get("Relation Name", "").startswith("via_state_"):
        yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from _scans(inner)


QUESTIONS = {
    "deadletter": [
        "",
        "p=150",
        "o=7",
        "o=-7",
        "status__exact=new",
        "status__exact=discarded",
        "reason__exact=unreadable",
        "handler=handler3",
        "handler=handler4&status__exact=new",
        "template=orders",
        "event_name=Event7",
        "q=room.77",
        "q=room.",
        "q=nothing",
        "q=f899139df5e1059396431415e770c6dd-0",
    ],
    "handlerposition": ["", "state=stuck", "state=halted", "state=running", "q=room.77", "q=nothing"],
    "eventhandler": ["", "q=ship"],
    "snapshotrow": ["", "q=room.77", "q=room."],
}


@pytest.mark.parametrize(
    ("crowd", "model"), [([one], one) for one in QUESTIONS], indirect=["crowd"], ids=QUESTIONS
)
def test_a_list_reads_few_rows(crowd: Crowd, model: str) -> None:
    for question in QUESTIONS[model]:
        url = f"{changelist(model)}?{question}"
        with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
            crowd.office.get(url)
        asked = [one["sql"] for one in queries.captured_queries if one["sql"].startswith("SELECT")]
        assert 2 <= len(asked) <= 20, url
        for sql in asked:
            assert "DISTINCT" not in sql, url
            assert "COUNT(" not in sql or "LIMIT" in sql, sql
            assert 'traceback"' not in sql, url
            assert rows_read(sql) <= MOST_READ, sql


@pytest.mark.parametrize("crowd", [["deadletter", "eventhandler"]], indirect=True)
def test_more_rows_than_are_counted_are_mentioned(crowd: Crowd) -> None:
    page = crowd.office.get(changelist("deadletter"))
    assert "10000 dead letters" in page
    assert "There are more than 10000" in page
    assert "There are more" not in crowd.office.get(f"{changelist('deadletter')}?q=room.77")
    page = crowd.office.get(changelist("eventhandler"))
    assert "more than 1,000" in page
    assert "see its positions" in page


@pytest.mark.parametrize("crowd", [["deadletter"]], indirect=True)
def test_selecting_all_takes_no_more_than_one_request_may(crowd: Crowd) -> None:
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
        page = crowd.office.act("deadletter", "discard_selected", 1, across=True).content.decode()
    assert "You selected more than 100" in page
    assert page.count("room.") >= 100
    assert len(queries) < 120


def few_rows(crowd: Crowd) -> str:
    """The overview, whose statements read few rows each."""
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
        page = crowd.office.get("/admin/via_state/overview/")
    asked = [one["sql"] for one in queries.captured_queries if one["sql"].lstrip().startswith(("SELECT", "WITH"))]
    assert len(asked) <= 10
    for sql in asked:
        assert rows_read(sql) <= MOST_READ, sql
    return page


@pytest.mark.parametrize("crowd", [["deadletter", "eventhandler"]], indirect=True)
def test_the_overview_reads_few_rows(crowd: Crowd) -> None:
    assert "at least 2,000 dead letters" in few_rows(crowd)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("UPDATE via_state_handlerposition SET stuck_since = now(), attempts = 1")
    page = few_rows(crowd)
    assert ">10,000+</td>" in page, "all keys of a handler are stuck"
    assert page.count(" at one record") <= 1, "and each cause is said once"
    assert page.count("+</td>") == 2, "the stuck and the blocked ones, which are read together"


@pytest.mark.parametrize("crowd", [list(TABLES)], indirect=True)
def test_a_search_reads_few_rows(crowd: Crowd) -> None:
    for term in ("room.77", "room.", "ship", "nothing", "f899139df5e1059396431415e770c6dd", "f8"):
        with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
            crowd.office.get(f"/admin/via_state/overview/?q={term}")
        asked = [one["sql"] for one in queries.captured_queries if one["sql"].startswith("SELECT")]
        assert len(asked) <= 16
        for sql in asked:
            assert rows_read(sql) <= MOST_READ, sql


@pytest.mark.parametrize("crowd", [["deadletter"]], indirect=True)
def test_the_many_dead_letters_of_a_handler_hide_no_other_ones(crowd: Crowd) -> None:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("UPDATE via_state_deadletter SET handler = 'late', template = 'other' WHERE \"offset\" = 1")
    found = condition.read().letters
    assert found["late", "other"].number == 1, "the newest of all"
    assert {number for (name, _), (number, _) in found.items() if name != "late"} == {condition.LIMIT + 1}
    assert truth.read_rows().facts["via_deadletters_waiting"]["late", "other"] == 1
