"""How many rows there are, counted no further than it matters: on the server, in one statement, and without a look at the rest.

On a database thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import IntegerField, Model, QuerySet, Subquery
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.conf import settings

#: Handlers on declared keys whose dead letters are counted. PostgreSQL takes a statement that may be longer for one that is worth compiling.
PAIRS = 500


class Few(Subquery):
    """The number of rows of a subquery; give it a limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) _few)"
    output_field = IntegerField()


class Letters(NamedTuple):
    """Dead letters that wait for a person, and the seconds that the oldest has waited. Counted as far as whoever asked said, and one more."""

    number: int
    age: float


#: By event handler (its name) and declared key.
Waiting = dict[tuple[str, str], Letters]

# Each handler, and each declared key of it, is found by the index from the one before it: however many letters one has, all are found, and
# of each only so many are read as are counted.
LETTERS = """
WITH RECURSIVE
    named (handler) AS (
        SELECT MIN(handler) FROM {letters}
        UNION ALL
        SELECT (SELECT MIN(handler) FROM {letters} AND handler > named.handler) FROM named WHERE named.handler IS NOT NULL
    ),
    pair (handler, template) AS (
        SELECT named.handler, (SELECT MIN(template) FROM {letters} AND handler = named.handler) FROM named WHERE named.handler IS NOT NULL
        UNION ALL
        SELECT pair.handler, (SELECT MIN(template) FROM {letters} AND handler = pair.handler AND template > pair.template)
        FROM pair WHERE pair.template IS NOT NULL
    )
SELECT pair.handler, pair.template,
    (SELECT COUNT(*) FROM (
        SELECT added_at FROM {letters} AND handler = pair.handler AND template = pair.template LIMIT %(most)s) few),
    (SELECT MIN(added_at) FROM {letters} AND handler = pair.handler AND template = pair.template),
    {now}
FROM (SELECT * FROM pair WHERE template IS NOT NULL LIMIT %(pairs)s) pair
"""


def waiting_letters(most: int) -> Waiting:
    """Dead letters that wait for a person; of each handler and declared key up to ``most`` are counted, and one more."""
    connection = connections[settings.DATABASE]
    now, given = tables.dead_letters.rows().query.get_compiler(using=settings.DATABASE).compile(Now())
    assert not given
    table = connection.ops.quote_name(tables.dead_letters.model._meta.db_table)
    letters = f"{table} WHERE prefix = %(prefix)s AND status = 'new'"
    read = _reader(Now(), connection) or (lambda value: value)
    with connection.cursor() as cursor:
        cursor.execute(
            LETTERS.format(letters=letters, now=now), {"prefix": settings.PREFIX, "most": most + 1, "pairs": PAIRS}
        )
        rows = cursor.fetchall()
    return {
        (handler, template): Letters(number, seconds(read(since), read(now)))
        for handler, template, number, since, now in rows
    }


def by_columns(columns: Sequence[str], *parts: QuerySet[Any]) -> dict[tuple[Any, ...], int]:
    """How many rows of the parts, each with a limit of its own, have the same values in these columns, which all of them are annotated with."""
    sql, values = _union([part.values(*columns) for part in parts])
    if not sql:
        return {}
    names = ", ".join(map(connections[settings.DATABASE].ops.quote_name, columns))
    with connections[settings.DATABASE].cursor() as cursor:
        cursor.execute(f"SELECT {names}, COUNT(*) FROM ({sql}) few GROUP BY {names}", values)
        return {tuple(row[:-1]): row[-1] for row in cursor.fetchall()}


def together(model: type[Model], columns: Sequence[str], *parts: QuerySet[Any]) -> list[tuple[Any, ...]]:
    """These columns of the rows of all parts, each with an order and a limit of its own, in one statement. A row may be among several of them."""
    sql, values = _union([part.values(*columns) for part in parts])
    if not sql:
        return []
    connection = connections[settings.DATABASE]
    fields = [model._meta.get_field(name) for name in columns]
    reads = [_reader(one.get_col(model._meta.db_table), connection) for one in fields]  # type: ignore[union-attr]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    if any(reads):
        rows = [
            tuple(one if read is None else read(one) for read, one in zip(reads, row, strict=True)) for row in rows
        ]
    return rows


def _reader(column: Any, connection: Any) -> Callable[[Any], Any] | None:
    """How a value that the database gave becomes Python's, where that differs."""
    converters = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]

    def read(value: Any) -> Any:
        for convert in converters:
            value = convert(value, column, connection)
        return value

    return read if converters else None


def _union(parts: list[QuerySet[Any]]) -> tuple[str, list[Any]]:
    """Not Django's ``union``: SQLite knows no limit within one, but it does in a subquery."""
    sqls, values = [], []
    for number, part in enumerate(parts):
        try:
            sql, given = part.query.get_compiler(using=settings.DATABASE).as_sql()
        except EmptyResultSet:  # a condition that no row can meet
            continue
        sqls.append(f"SELECT * FROM ({sql}) part{number}")
        values += given
    return " UNION ALL ".join(sqls), values


def seconds(since: datetime | None, now: datetime) -> float:
    """Between two moments of the database; 0 for none."""
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
