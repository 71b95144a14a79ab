"""Tables that lack a constraint, as after a restore in several steps."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.db import connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from via_state.checks import check_records


def problems() -> list[str]:
    with override_settings(VIA_STATE={"DATABASE": POSTGRES_ALIAS}):
        found = run_checks(tags=["database"], databases=[POSTGRES_ALIAS])
    return [f"{one.msg} {one.hint}" for one in found if one.id == "via_state.E017"]


@pytest.mark.parametrize(
    ("table", "constraint", "columns"),
    [
        ("via_state_log", "via_state_log_key", "prefix, key"),
        ("via_state_pack", "via_state_pack_append", "log_id, append_id"),
        ("via_state_cell", "via_state_cell_pkey", "prefix, key"),
        ("via_state_snapshot", "via_state_snapshot_code", "log_hash, fingerprint"),
        ("via_state_handlerposition", "via_state_position_hash", "position_hash"),
    ],
)
@pytest.mark.django_db(databases=[POSTGRES_ALIAS])
def test_check_names_a_unique_constraint_that_is_missing(
    postgres: object, table: str, constraint: str, columns: str
) -> None:
    assert problems() == []
    with transaction.atomic(using=POSTGRES_ALIAS):
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint} CASCADE")
        (problem,) = problems()
        label = (
            "via_state" if table in ("via_state_snapshot", "via_state_handlerposition") else "via_state_postgres"
        )
        applied = MigrationLoader(connections[POSTGRES_ALIAS]).graph.leaf_nodes(label)[0]
        MigrationRecorder(connections[POSTGRES_ALIAS]).record_unapplied(*applied)
        assert problems() == [], "a migration that is not applied yet may make it"
        transaction.set_rollback(True, using=POSTGRES_ALIAS)
    assert f"{table} in the database" in problem
    assert f"({columns})" in problem
    assert "HAVING count(*) > 1" in problem


@pytest.mark.django_db(databases=[POSTGRES_ALIAS])
def test_a_database_that_has_no_tables_yet_is_not_asked_for_records(
    postgres: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ``migrate`` runs the checks: a pod would say that its tables are missing."""

    def no_pod() -> None:
        pytest.fail("a pod was begun")

    monkeypatch.setattr("via_state.checks.current_pod", no_pod)
    backend = {
        "DATABASE": POSTGRES_ALIAS,
        "BACKEND": "via_state.backplanes.postgres.PostgresBackplane",
    }
    with transaction.atomic(using=POSTGRES_ALIAS), override_settings(VIA_STATE=backend):
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE via_state_outboxrecord RENAME TO aside")
        check_records(databases=[POSTGRES_ALIAS])
        transaction.set_rollback(True, using=POSTGRES_ALIAS)
