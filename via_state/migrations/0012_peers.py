from django.db import migrations, models

import via_state.fields


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0011_handler_give_up_after"),
    ]

    operations = [
        migrations.CreateModel(
            name="PeerRow",
            fields=[
                ("id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("prefix", models.CharField(max_length=100)),
                ("host", via_state.fields.NameField(max_length=200)),
                ("pid", models.PositiveIntegerField()),
                ("roles", models.CharField(default="", max_length=200)),
                ("doorbell", models.CharField(default="unknown", max_length=10)),
                ("fingerprints", models.JSONField(default=dict)),
                ("events", models.JSONField(default=dict)),
                ("started_at", models.DateTimeField()),
                ("lease_until", models.DateTimeField()),
            ],
            options={
                "verbose_name": "process",
                "verbose_name_plural": "processes",
                "db_table": "via_state_peer",
                "indexes": [models.Index(fields=["prefix", "lease_until"], name="via_state_peer_alive")],
            },
        ),
        migrations.RenameField(model_name="haltedkey", old_name="seen", new_name="lease_until"),
        migrations.AddField(
            model_name="handlerworker",
            name="peer",
            field=models.CharField(default="", max_length=32, verbose_name="process"),
        ),
    ]
