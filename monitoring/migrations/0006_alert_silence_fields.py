"""What silences said by endpoint, rule and severity is said by matchers."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("monitoring", "0005_alert_matchers"),
    ]

    operations = [
        migrations.RemoveField(
            model_name='silence',
            name='endpoint',
        ),
        migrations.RemoveField(
            model_name='silence',
            name='rule',
        ),
        migrations.RemoveField(
            model_name='silence',
            name='severity',
        ),
    ]
