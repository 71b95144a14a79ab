from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0016_permission_to_move_records"),
    ]

    operations = [
        migrations.RenameIndex(
            model_name="deadletter",
            new_name="via_state_letter_added",
            old_name="via_state_letter_buried",
        ),
    ]
