"""What a project does to Django's connections when they are made is done to ours as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.db.backends.signals import connection_created
from pytest_django import DjangoDbBlocker

from tests.backplanes.conftest import Make
from tests.backplanes.test_postgres_connections import ask
from tests.backplanes.test_postgres_connections import database as database
from tests.conftest import POSTGRES_ALIAS
from via_state.exceptions import BackplaneUnavailable, NotMigrated
from via_state.testing.conformance.harness import append, eventually, read_all

THINGS = ("TABLE via_state_log", "TABLE via_state_pack", "TABLE via_state_cell", "SEQUENCE via_state_rev")


@pytest.fixture
def owner(database: dict[str, Any]) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who sets the database up."""
    given = connections[POSTGRES_ALIAS].get_connection_params()
    where: dict[str, Any] = {
        name: given[name] for name in ("host", "port", "dbname", "user", "password") if name in given
    }
    with psycopg.connect(**where, autocommit=True) as connection:
        yield connection


@pytest.fixture
def elsewhere(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """The tables are in a schema that no connection looks into by itself."""
    owner.execute("CREATE SCHEMA IF NOT EXISTS elsewhere")
    for thing in THINGS:
        kind, name = thing.split()
        owner.execute(f"ALTER {kind} {name} SET SCHEMA elsewhere")
    yield
    for thing in THINGS:
        kind, name = thing.split()
        owner.execute(f"ALTER {kind} elsewhere.{name} SET SCHEMA public")
    owner.execute("DROP SCHEMA elsewhere")


@pytest.fixture
def on_connect(django_db_blocker: DjangoDbBlocker) -> Iterator[list[str]]:
    """SQL that a receiver of the project's executes on each new connection."""
    statements: list[str] = []

    def prepare(sender: object, connection: Any, **_: Any) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    connection_created.connect(prepare)
    with django_db_blocker.unblock():
        yield statements
    connection_created.disconnect(prepare)


@pytest.mark.usefixtures("elsewhere")
async def test_tables_in_a_schema_that_a_receiver_names_are_found(make: Make, on_connect: list[str]) -> None:
    with pytest.raises(NotMigrated):
        await make().head("log")
    on_connect.append("SET search_path = elsewhere, public")
    plane, rung = make(), list[str | None]()
    plane.watch(rung.append).add("log")
    await append(plane, "log", b"x")
    await plane.cas("cell", None, b"y")
    assert [data for _, data in await read_all(plane, "log")] == [b"x"]
    assert (await plane.load_many(["cell"]))["cell"].data == b"y"
    await plane.changed((await plane.changed(None)).cursor)
    await eventually(lambda: None in rung, "listening")


@pytest.mark.usefixtures("elsewhere")
async def test_a_search_path_in_the_options_is_kept(make: Make, database: dict[str, Any]) -> None:
    database["OPTIONS"]["options"] = "-c search_path=elsewhere"
    assert [data for _, data in await read_all(make(), "log")] == []


async def test_a_role_and_settings_of_row_level_security_are_kept(
    make: Make, owner: psycopg.Connection[Any], database: dict[str, Any], on_connect: list[str]
) -> None:
    owner.execute("DROP ROLE IF EXISTS via_assumed")
    owner.execute("CREATE ROLE via_assumed")
    on_connect += ["SET app.tenant = 'it''s, \"ours\"'", "SET ROLE via_assumed"]
    plane = make()
    assert await ask(plane, "SELECT current_setting('app.tenant')") == 'it\'s, "ours"'
    assert await ask(plane, "SELECT current_user::text") == "via_assumed"
    on_connect.clear()
    database["OPTIONS"]["assume_role"] = "via_assumed"  # which Django sets itself
    assert await ask(make(), "SELECT current_user::text") == "via_assumed"


async def test_what_a_receiver_raises_is_said_and_nothing_is_asked_unprepared(
    make: Make, on_connect: list[str]
) -> None:
    on_connect.append("SELECT 1/0")
    with pytest.raises(BackplaneUnavailable, match="division by zero"):
        await make().head("log")


async def test_no_connection_of_a_pool_of_djangos_is_kept(
    make: Make, owner: psycopg.Connection[Any], database: dict[str, Any], on_connect: list[str]
) -> None:
    on_connect.append("SET application_name = 'prepared'")
    database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1}
    plane = make()
    assert await ask(plane, "SELECT current_setting('application_name')") == "prepared"
    await plane.close()
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'prepared' AND pid <> pg_backend_pid()"

    def none_left() -> bool:
        row = owner.execute(left).fetchone()
        return row == (0,)

    await eventually(none_left, "their end")
