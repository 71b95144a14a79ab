"""Whether the tables still have the constraints that they were made with: a restore in several steps may leave some out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model, UniqueConstraint

from via_state.conf import settings
from via_state.documented import register

#: App labels, each with the alias that its tables are used in.
_APPS: dict[str, Callable[[], str]] = {
    "via_state": lambda: settings.DATABASE,
    "via_state_postgres": lambda: settings.backplane_options()["DATABASE"],
}


@register(Tags.database)
def check_constraints(databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """E017: a unique constraint of our tables is missing, so that rows may be there twice.

    Looks into the database, so it runs with ``migrate`` and with ``check --database``.
    """
    if settings.problems():
        return []
    found: list[CheckMessage] = []
    for label, alias_of in _APPS.items():
        alias = alias_of()
        if label not in apps.app_configs or alias not in (databases or ()):
            continue
        connection = connections[alias]
        if not _all_applied(connection, label):
            continue  # a migration makes it yet: migrate itself asks here before it begins
        tables = set(connection.introspection.table_names())
        for model in apps.get_app_config(label).get_models():
            if model._meta.managed and model._meta.db_table in tables:
                found.extend(_missing(connection, model))
    return found


def _all_applied(connection: BaseDatabaseWrapper, label: str) -> bool:
    loader = MigrationLoader(connection)
    return all(node in loader.applied_migrations for node in loader.graph.leaf_nodes(label))


def _missing(connection: BaseDatabaseWrapper, model: type[Model]) -> Iterator[CheckMessage]:
    table = model._meta.db_table
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table).values()
    unique = {frozenset(one["columns"]) for one in constraints if one["unique"] or one["primary_key"]}
    wanted = [[field.name for field in model._meta.pk_fields]]
    wanted += [[*one.fields] for one in model._meta.constraints if isinstance(one, UniqueConstraint)]
    for fields in wanted:
        columns = [str(getattr(model._meta.get_field(name), "column", name)) for name in fields]
        if frozenset(columns) not in unique:
            names = ", ".join(columns)
            yield Error(
                f"The table {table} in the database {connection.alias!r} has no unique constraint on ({names}).",
                hint=(
                    f"It was restored without. Look for rows that are there twice (SELECT {names}, count(*) FROM {table} "
                    f"GROUP BY {names} HAVING count(*) > 1), restore the table whole, and add the constraint."
                ),
                id="via_state.E017",
            )
