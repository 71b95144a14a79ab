import hashlib
from typing import Any

from django.db import migrations, models


def name_slots(apps: Any, schema_editor: Any) -> None:
    records = apps.get_model("via_state", "OutboxRecord").objects.using(schema_editor.connection.alias)
    for pk, key in records.values_list("pk", "key"):
        records.filter(pk=pk).update(slot=hashlib.blake2b(key.encode(), digest_size=16).hexdigest())


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0003_event_handlers"),
    ]

    operations = [
        migrations.DeleteModel(name="OutboxLane"),
        migrations.CreateModel(
            name="OutboxLane",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("prefix", models.CharField(max_length=100)),
                ("lane", models.PositiveSmallIntegerField()),
                ("lease_owner", models.CharField(default="", max_length=32)),
                ("lease_until", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "outbox lane",
                "verbose_name_plural": "outbox lanes",
                "constraints": [models.UniqueConstraint(fields=("prefix", "lane"), name="via_state_outbox_lanes")],
            },
        ),
        migrations.AlterModelOptions(
            name="outboxrecord",
            options={
                "permissions": [
                    ("replay_outboxrecord", "Can put outbox records that were set aside back into the outbox"),
                    ("discard_outboxrecord", "Can discard outbox records that were set aside"),
                ],
                "verbose_name": "outbox record",
                "verbose_name_plural": "outbox records",
            },
        ),
        migrations.RemoveIndex(model_name="outboxrecord", name="via_state_outbox_lane"),
        migrations.RemoveField(model_name="outboxrecord", name="append_id"),
        migrations.AlterField(model_name="outboxrecord", name="key", field=models.CharField(max_length=512)),
        migrations.AlterField(model_name="outboxrecord", name="created", field=models.DateTimeField()),
        migrations.AddField(
            model_name="outboxrecord",
            name="slot",
            field=models.CharField(default="", max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="outboxrecord",
            name="status",
            field=models.CharField(
                choices=[("waiting", "waiting"), ("aside", "set aside"), ("discarded", "discarded")],
                default="waiting",
                max_length=10,
            ),
        ),
        migrations.AddField(model_name="outboxrecord", name="batch", field=models.UUIDField(null=True)),
        migrations.AddField(
            model_name="outboxrecord", name="epoch", field=models.CharField(default="", max_length=64)
        ),
        migrations.AddField(model_name="outboxrecord", name="offset", field=models.BigIntegerField(default=0)),
        migrations.AddField(
            model_name="outboxrecord", name="record_id", field=models.CharField(default="", max_length=64)
        ),
        migrations.AddField(model_name="outboxrecord", name="error", field=models.TextField(default="")),
        migrations.AddField(model_name="outboxrecord", name="set_aside_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="outboxrecord", name="settled_at", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="outboxrecord", name="settled_by", field=models.CharField(default="", max_length=200)
        ),
        migrations.RunPython(name_slots, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex(
            model_name="outboxrecord",
            index=models.Index(fields=["prefix", "status", "lane", "id"], name="via_state_outbox_lane"),
        ),
        migrations.AddIndex(
            model_name="outboxrecord",
            index=models.Index(fields=["prefix", "status", "id"], name="via_state_outbox_status"),
        ),
    ]
