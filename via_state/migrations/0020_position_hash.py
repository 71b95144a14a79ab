import hashlib
from typing import Any

from django.db import migrations, models


def _rehash(apps: Any, schema_editor: Any, with_handler: bool) -> None:
    """Positions are found by what stands for their handler and key, no longer for the key alone."""
    rows = apps.get_model("via_state", "HandlerPosition").objects.using(schema_editor.connection.alias)
    after = 0
    while some := list(rows.filter(pk__gt=after).order_by("pk").only("handler_id", "key")[:1000]):
        for row in some:
            text = f"{row.handler_id}\0{row.key}" if with_handler else row.key
            row.position_hash = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        rows.bulk_update(some, ["position_hash"], batch_size=100)
        after = some[-1].pk


def forwards(apps: Any, schema_editor: Any) -> None:
    _rehash(apps, schema_editor, True)


def backwards(apps: Any, schema_editor: Any) -> None:
    _rehash(apps, schema_editor, False)


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0019_rates"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="handlerposition", name="via_state_position_hash"),
        migrations.RenameField(model_name="handlerposition", old_name="key_hash", new_name="position_hash"),
        migrations.RunPython(forwards, backwards, elidable=True),
        migrations.AddConstraint(
            model_name="handlerposition",
            constraint=models.UniqueConstraint(fields=("position_hash",), name="via_state_position_hash"),
        ),
    ]
