from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("via_state_postgres", "0003_sweep_index_keeps_ranges_apart"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="cell",
            options={"base_manager_name": "objects"},
        ),
        migrations.AlterModelOptions(
            name="log",
            options={"base_manager_name": "objects"},
        ),
        migrations.AlterModelOptions(
            name="pack",
            options={"base_manager_name": "objects"},
        ),
    ]
