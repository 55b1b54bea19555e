"""Silences say by matchers what they said by endpoint, rule and severity; old messages are of their alert."""

from django.db import migrations


def write_matchers(apps, schema_editor):
    Silence = apps.get_model("monitoring", "Silence")
    for silence in Silence.objects.select_related("rule"):
        matchers = []
        if silence.endpoint != "*":
            matchers.append(_equals("endpoint", silence.endpoint))
        if silence.rule_id:
            matchers.append(_equals("alertname", silence.rule.name))
        if silence.severity:
            matchers.append(_equals("severity", silence.severity))
        silence.matchers = matchers or ['alertname=~".+"']
        silence.save(update_fields=["matchers"])


def write_streams(apps, schema_editor):
    Notification = apps.get_model("monitoring", "Notification")
    for notification in Notification.objects.filter(stream=""):
        notification.stream = f"alert:{notification.alert_id}"
        notification.save(update_fields=["stream"])
        notification.alerts.add(notification.alert_id)


def _equals(name, value):
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0004_alert_routes")]

    operations = [
        migrations.RunPython(write_matchers, migrations.RunPython.noop),
        migrations.RunPython(write_streams, migrations.RunPython.noop),
    ]
