from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0017_index_of_dead_letters"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(
                condition=models.Q(("status", "new")),
                fields=["prefix", "handler", "template", "added_at"],
                name="via_state_letter_waiting",
            ),
        ),
    ]
