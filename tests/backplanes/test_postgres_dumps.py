"""``dumpdata`` of a project: the rows where they are, and nothing where there are no such tables."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command

from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.postgres import PostgresBackplane
from via_state.core.records import GENESIS, Batch, Cell
from via_state.testing.conformance.harness import append


def dumped(alias: str, **options: Any) -> list[dict[str, Any]]:
    screen = StringIO()
    call_command("dumpdata", "via_state_postgres", database=alias, stdout=screen, **options)
    return json.loads(screen.getvalue())  # type: ignore[no-any-return]


@pytest.mark.django_db(databases=["default", POSTGRES_ALIAS], transaction=True)
@pytest.mark.parametrize("every", [False, True], ids=["dumpdata", "dumpdata --all"])
def test_a_database_without_the_tables_is_dumped(every: bool) -> None:
    assert dumped("default", use_base_manager=every) == []


@pytest.mark.django_db(databases=["default", POSTGRES_ALIAS], transaction=True)
def test_what_was_dumped_is_loaded_again(prefix: str, tmp_path: Path) -> None:
    async def write() -> tuple[Batch, Cell | None]:
        plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        await append(plane, "log", b"x", b"y")
        await append(plane, "log", b"z")
        await plane.cas("cell", None, b"v")
        found = await plane.read("log", GENESIS), await plane.load("cell")
        await plane.close()
        return found

    async def look() -> tuple[Batch, Cell | None]:
        plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        found = await plane.read("log", GENESIS), await plane.load("cell")
        await append(plane, "log", b"more")
        await append(plane, "new log", b"more")
        await plane.close()
        return found

    (before, written), path = asyncio.run(write()), tmp_path / "dump.json"
    tables = "via_state_postgres"
    call_command("dumpdata", tables, database=POSTGRES_ALIAS, use_base_manager=True, output=str(path))
    for model in apps.get_app_config(tables).get_models():
        model._default_manager.using(POSTGRES_ALIAS).all().delete()
    call_command("loaddata", str(path), database=POSTGRES_ALIAS, verbosity=0)
    after, loaded = asyncio.run(look())
    assert after == before
    assert written is not None
    assert loaded is not None
    assert (loaded.data, loaded.revision) == (written.data, written.revision)


@pytest.mark.django_db(databases=["default", POSTGRES_ALIAS], transaction=True)
def test_rows_that_are_there_are_dumped(prefix: str) -> None:

    async def write() -> None:
        plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        await append(plane, "log", b"x")
        await plane.close()

    asyncio.run(write())
    found = [row["fields"] for row in dumped(POSTGRES_ALIAS) if row["model"] == "via_state_postgres.log"]
    assert [(row["prefix"], row["key"]) for row in found if row["prefix"] == prefix] == [(prefix, "log")]
