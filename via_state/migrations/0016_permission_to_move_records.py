from typing import Any

from django.db import migrations

OLD, NEW = "set_aside_handlerposition", "move_to_dead_letters_handlerposition"


def rename_permission(apps: Any, schema_editor: Any) -> None:
    """Who has the permission keeps it. It is a row of Django's, which may not be installed, or not be there yet."""
    from django.apps import apps as installed

    if not installed.is_installed("django.contrib.auth"):
        return
    from django.contrib.auth.models import Permission

    connection = schema_editor.connection
    if Permission._meta.db_table not in connection.introspection.table_names():
        return
    rows = Permission.objects.using(connection.alias).filter(content_type__app_label="via_state")
    if not rows.filter(codename=NEW).exists():
        rows.filter(codename=OLD).update(codename=NEW)


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0015_template_and_candidate"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="handlerposition",
            options={
                "permissions": [
                    ("move_to_dead_letters_handlerposition", "Can move blocked records into the dead letters")
                ],
                "verbose_name": "handler position",
                "verbose_name_plural": "handler positions",
            },
        ),
        migrations.RunPython(rename_permission, migrations.RunPython.noop, elidable=True),
    ]
