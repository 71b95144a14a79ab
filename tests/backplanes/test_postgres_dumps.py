"""``dumpdata`` of a project: the rows where they are, and nothing where there are no such tables."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.postgres import PostgresBackplane
from via_state.testing.conformance.harness import append


def dumped(alias: str) -> list[dict[str, Any]]:
    screen = StringIO()
    call_command("dumpdata", "via_state_postgres", database=alias, stdout=screen)
    return json.loads(screen.getvalue())  # type: ignore[no-any-return]


@pytest.mark.django_db(databases=["default", POSTGRES_ALIAS], transaction=True)
def test_a_database_without_the_tables_is_dumped() -> None:
    assert dumped("default") == []


@pytest.mark.django_db(databases=["default", POSTGRES_ALIAS], transaction=True)
def test_rows_that_are_there_are_dumped(prefix: str) -> None:

    async def write() -> None:
        plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        await append(plane, "log", b"x")
        await plane.close()

    asyncio.run(write())
    found = [row["fields"] for row in dumped(POSTGRES_ALIAS) if row["model"] == "via_state_postgres.log"]
    assert [(row["prefix"], row["key"]) for row in found if row["prefix"] == prefix] == [(prefix, "log")]
