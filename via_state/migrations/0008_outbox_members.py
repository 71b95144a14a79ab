from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("via_state", "0007_owner_erasures"),
    ]

    operations = [
        migrations.AddField(model_name="outboxrecord", name="members", field=models.TextField(default="")),
    ]
