"""Tables that lack a constraint, as after a restore in several steps."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.db import connections, transaction
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS


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
        transaction.set_rollback(True, using=POSTGRES_ALIAS)
    assert f"{table} in the database" in problem
    assert f"({columns})" in problem
    assert "HAVING count(*) > 1" in problem
