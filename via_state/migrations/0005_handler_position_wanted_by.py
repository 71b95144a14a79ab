from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("via_state", "0004_outbox_leases")]

    operations: ClassVar = [
        migrations.AddField(
            "handlerposition", "wanted_by", models.CharField(db_default="", default="", max_length=32)
        ),
    ]
