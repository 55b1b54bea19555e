"""Several clocks in processes of their own, at the same moment, on one database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitoring.alerts.one_clock import ENDPOINTS

ROOT = Path(__file__).resolve().parents[3]
SET_UP = """
from django.core.management import call_command
call_command("migrate", verbosity=0, skip_checks=True)
from monitoring.alerts.routing import ensure_default_route
from monitoring.models.alerts import AlertRule, Channel, Route
ensure_default_route()
Route.objects.update(group_wait_s=0, group_by=["..."])
AlertRule.objects.all().delete()
AlertRule.objects.create(name="errors", metric="error_rate", threshold=0.05)
Channel.objects.create(name="ops", url="json://localhost")
"""
COUNT = """
from monitoring.models.alerts import Alert, AlertEvent, Notification
print("counted", Alert.objects.filter(state="firing").count(), AlertEvent.objects.filter(kind="fired").count(),
      Notification.objects.filter(state="sent", attempts=1).count(), Notification.objects.count())
"""


def clock_environment(folder: Path, database: str) -> dict[str, str]:
    """Return the environment of a process that works in a folder, on a database that others share."""
    return {
        **os.environ, "AIPLATFORM_DEBUG": "1", "AIPLATFORM_ROLES": "monitoring", "DATA_DIR": str(folder),
        "DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "aiplatform.settings",
        "TRAINING_URL": "http://127.0.0.1:9", "INFERENCE_URL": "http://127.0.0.1:9",
    }  # fmt: skip


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_clocks_at_once_fire_and_tell_once(tmp_path: Path, empty_database: str) -> None:
    environment = clock_environment(tmp_path, empty_database)

    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    manage("shell", "--no-imports", "-c", SET_UP)
    start, deliveries = tmp_path / "start", tmp_path / "deliveries"
    command = [sys.executable, "-m", "tests.monitoring.alerts.one_clock", str(start), str(deliveries)]
    clocks = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for clock in clocks:
        assert clock.stdout
        assert clock.stdout.readline() == "ready\n"
    start.touch()
    for clock in clocks:
        clock.communicate(timeout=200)
        assert clock.returncode == 0
    counted = next(line for line in manage("shell", "--no-imports", "-c", COUNT).splitlines() if "counted" in line)
    assert counted.split()[1:] == [str(ENDPOINTS)] * 4
    assert len(deliveries.read_text().splitlines()) == ENDPOINTS
