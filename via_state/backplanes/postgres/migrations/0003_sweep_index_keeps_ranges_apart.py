from __future__ import annotations

from typing import Any

from django.db import migrations

# After a logical restore rows have transaction ids far ahead of the server's. One lowest and one highest id for some pages, of
# which a part has been written since, span all ids between the two, and each sweep read those pages. Several ranges of ids
# for the same pages keep them apart.
CREATE = """
DO $$ BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        DROP INDEX IF EXISTS via_state_log_xid, via_state_cell_xid;
        CREATE INDEX via_state_log_xid ON via_state_log USING brin (xid {operators})
            WITH (pages_per_range = 16, autosummarize = on);
        CREATE INDEX via_state_cell_xid ON via_state_cell USING brin (xid {operators})
            WITH (pages_per_range = 16, autosummarize = on);
    END IF;
END $$;
"""


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE.format(operators="int8_minmax_multi_ops (values_per_range = 8)"))


def back(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE.format(operators="int8_minmax_ops"))


class Migration(migrations.Migration):
    dependencies = [("via_state_postgres", "0002_cell_write_ids")]

    operations = [migrations.RunPython(create, back)]
