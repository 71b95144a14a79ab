"""Emptying the databases after a test that commits, in a few statements.

Django's ``flush`` truncates every table, which makes new files on PostgreSQL, and then makes all content types and permissions
again: longer than most tests. Those stay here; of the others, the ones that hold nothing are left alone.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction
from django.test import TransactionTestCase

#: The same before and after each test.
KEPT = ("django_migrations", "django_content_type", "auth_permission")
#: Bytes from which a table is truncated: what is deleted stays in it for a while, and slows what is read after it.
LARGE = 256 * 1024
SIZES = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL(%s) AND pg_relation_size(oid) > 0
"""


def empty(alias: str) -> None:
    """Remove all rows but those that the migrations made."""
    connection = connections[alias]
    quote = connection.ops.quote_name
    if connection.vendor != "postgresql":
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        with (
            connection.constraint_checks_disabled(),
            transaction.atomic(using=alias),
            connection.cursor() as cursor,
        ):
            for table in set(tables) - set(KEPT):
                cursor.execute(f"DELETE FROM {quote(table)}")
        return
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(SIZES, [list(KEPT)])
        sizes: dict[str, int] = dict(cursor.fetchall())
        statements = ["SET LOCAL session_replication_role = replica"]  # no foreign key is looked at
        statements += [f"DELETE FROM {quote(table)}" for table, size in sizes.items() if size < LARGE]
        statements += [f"TRUNCATE {quote(table)} CASCADE" for table, size in sizes.items() if size >= LARGE]
        cursor.execute("; ".join(statements))


def install() -> None:
    """Have every ``TransactionTestCase`` do it so, pytest-django's among them."""

    def teardown(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            empty(alias)

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[attr-defined]
