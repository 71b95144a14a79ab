from __future__ import annotations

import uuid
from typing import Any

from django.db import migrations, models
from django.utils import timezone

# Rows without a value were deleted cells: nothing is deleted any more.
ALTER = """
DELETE FROM via_state_cell WHERE data IS NULL;
ALTER TABLE via_state_cell
    ALTER COLUMN data SET NOT NULL,
    ADD COLUMN write_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN written timestamptz NOT NULL DEFAULT now();
"""

BACK = """
ALTER TABLE via_state_cell ALTER COLUMN data DROP NOT NULL, DROP COLUMN write_id, DROP COLUMN written;
"""


def alter(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(ALTER)


def back(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BACK)


class Migration(migrations.Migration):
    dependencies = [("via_state_postgres", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(alter, back)],
            state_operations=[
                migrations.AlterField("Cell", "data", models.BinaryField()),
                migrations.AddField(
                    "Cell", "write_id", models.UUIDField(default=uuid.uuid4), preserve_default=False
                ),
                migrations.AddField(
                    "Cell", "written", models.DateTimeField(default=timezone.now), preserve_default=False
                ),
            ],
        )
    ]
