"""A process that starts before ``migrate`` says so in sentences, not in tracebacks, and works when that was done."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from testproject.servers.postgres import Postgres
from tests.conftest import POSTGRES_ALIAS
from tests.pod.board import Add, Board, eventually
from via_state.backplanes.postgres import PostgresBackplane
from via_state.exceptions import NotMigrated
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop


@pytest.fixture
def bare(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The alias ``postgres`` leads to a schema without tables, for connections that are new."""
    settings: dict[str, Any] = connections.databases[POSTGRES_ALIAS]
    monkeypatch.setitem(settings, "OPTIONS", {**settings["OPTIONS"], "options": "-c search_path=nothing_here"})
    return settings


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
@override_settings(VIA_STATE={"DATABASE": POSTGRES_ALIAS, "RECONCILE_INTERVAL": 0.1})
async def test_a_process_that_starts_before_migrate_logs_no_traceback(
    bare: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    plane = PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": "before"})
    sweeps = 0
    changed = plane.changed

    async def counted(cursor: object) -> Any:
        nonlocal sweeps
        sweeps += 1
        return await changed(cursor)

    monkeypatch.setattr(plane, "changed", counted)

    async def start() -> Pod:
        return Pod(plane)

    pod = await current_loop().acall(start())
    for _ in range(3):
        with pytest.raises(NotMigrated, match=r"manage\.py migrate"):
            await Board.numbers.using(pod).aappend(Add(1))
        with pytest.raises(NotMigrated, match=r"manage\.py migrate"):
            await Board.numbers.using(pod).aread()
        with pytest.raises(NotMigrated, match=r"manage\.py migrate"):
            await Board.hits.using(pod).aread()
    await eventually(lambda: sweeps > 2, "a few sweeps", 30)
    await pod.aclose()
    said = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one.getMessage() for one in said if one.exc_text] == []
    assert len(said) <= 8
    assert any("migrate" in one.getMessage() for one in said)
