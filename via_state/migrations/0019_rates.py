from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0018_index_of_waiting_letters"),
    ]

    operations = [
        migrations.CreateModel(
            name="RateRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("prefix", models.CharField(max_length=100)),
                ("minute", models.PositiveBigIntegerField()),
                ("template", models.CharField(default="", max_length=512)),
                ("handler", models.CharField(default="", max_length=100)),
                ("done", models.PositiveBigIntegerField(default=0)),
                ("failed", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "rate",
                "verbose_name_plural": "rates",
                "db_table": "via_state_rate",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("prefix", "minute", "template", "handler"), name="via_state_rate_minute"
                    )
                ],
            },
        ),
    ]
