"""Reports over HTTP: as JSON and file, compared, stored, on a schedule; and who may ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from aiplatform.identity import Scope
from monitoring.models import ReportSchedule
from monitoring.models.alerts import Channel
from tests.monitoring.alerts.test_notifications import Webhook
from tests.monitoring.api.test_public_api import Caller
from tests.monitoring.reports.scenes import Scene

pytestmark = pytest.mark.django_db
BASE = "/api/monitoring"
VERSION = "endpoint=digits&version=1"


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, settings: Any) -> None:
    """Record two versions, a few minutes each."""
    settings.REPORT_STORE = str(tmp_path / "reports")
    scene = Scene(tmp_path)
    for version in (1, 2):
        scene.record(now=datetime.now(UTC), version=version, minutes=3)


def test_a_report_covers_what_is_asked_for() -> None:
    watcher = Caller(Scope.MONITOR)
    whole = watcher.get(f"{BASE}/reports/?{VERSION}&period_s=600").json()
    start = (datetime.now(UTC) - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M")
    part = watcher.get(f"{BASE}/reports/?{VERSION}&start={start}").json()
    assert whole["traffic"]["requests"] == 120
    assert 0 < part["traffic"]["requests"] < 120
    assert whole["schema_version"] == 2
    backwards = watcher.get(f"{BASE}/reports/?{VERSION}&start=2026-01-02T00:00&end=2026-01-01T00:00")
    assert (backwards.status_code, backwards.json()["code"]) == (400, "invalid_input")


def test_files_are_downloads_that_cannot_run_here() -> None:
    watcher = Caller(Scope.MONITOR)
    for path in (f"reports/html/?{VERSION}", f"reports/compare/html/?{VERSION}&other_version=2"):
        answer = watcher.get(f"{BASE}/{path}")
        assert answer.status_code == 200
        assert answer["Content-Disposition"].startswith("attachment;")
        assert answer.content.startswith(b"<!doctype html>")


def test_two_versions_are_compared() -> None:
    found = Caller(Scope.MONITOR).get(f"{BASE}/reports/compare/?{VERSION}&other_version=2").json()
    assert {measure["name"] for measure in found["measures"]} >= {"error rate", "p95 latency"}
    assert (found["first"]["version"], found["second"]["version"]) == (1, 2)
    assert Caller(Scope.MONITOR).get(f"{BASE}/reports/compare/?{VERSION}").status_code == 400


def test_the_schema_is_told() -> None:
    schema = Caller(Scope.MONITOR).get(f"{BASE}/reports/schema/").json()
    assert "verdict" in schema["$defs"]["PerformanceReport"]["properties"]


def test_a_schedule_is_made_refused_sent_and_its_report_read() -> None:
    admin, watcher = Caller(Scope.ADMIN), Caller(Scope.MONITOR)
    with Webhook() as webhook:
        Channel.objects.create(name="ops", url=webhook.url)
        body = {"name": "daily", "endpoint": "digits", "period": "day", "time_zone": "UTC", "channels": ["ops"]}
        assert watcher.post(f"{BASE}/report-schedules/", body).status_code == 403
        wrong = admin.post(f"{BASE}/report-schedules/", {**body, "time_zone": "Mars"})
        assert wrong.status_code == 400
        assert admin.post(f"{BASE}/report-schedules/", body).status_code == 201
        ReportSchedule.objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
        nothing = admin.post(f"{BASE}/report-schedules/daily/send/", None)
        assert nothing.status_code == 503, "its last day is over before the first prediction"
        assert webhook.received == []


def test_a_schedule_takes_no_channel_that_can_carry_no_report() -> None:
    Channel.objects.create(name="ops", url="json://localhost")
    Channel.objects.create(name="am", kind="alertmanager", url="http://127.0.0.1:9093")
    admin = Caller(Scope.ADMIN)
    body = {"name": "daily", "endpoint": "digits", "channels": ["ops", "am"]}
    refused = admin.post(f"{BASE}/report-schedules/", body)
    assert refused.status_code == 400
    problem = "reports go to channels of kind apprise only: 'am' is of kind alertmanager"
    assert problem in str(refused.json())
    assert admin.post(f"{BASE}/report-schedules/", {**body, "channels": ["ops"]}).status_code == 201
    with pytest.raises(CommandError, match=problem):
        call_command("reports", "send", "digits", "1", "--channel", "am")


def test_the_command_shows_exports_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("reports", "show", "digits", "1")
    assert "digits version 1" in capsys.readouterr().out
    call_command("reports", "export", "digits", "1", "--output", str(tmp_path / "r.html"))
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    call_command("reports", "compare", "digits", "1", "2")
    assert "error rate" in capsys.readouterr().out
    with pytest.raises(CommandError, match="must end in"):
        call_command("reports", "export", "digits", "1", "--output", "r.pdf")
    with pytest.raises(CommandError, match="no report schedule 'x'"):
        call_command("reports", "send", "--schedule", "x")


def test_the_command_sends_and_reads_what_it_stored(capsys: pytest.CaptureFixture[str]) -> None:
    with Webhook() as webhook:
        Channel.objects.create(name="ops", url=webhook.url)
        call_command("reports", "send", "digits", "1", "--channel", "ops")
        assert len(webhook.received) == 1
    stored = Caller(Scope.MONITOR).get(f"{BASE}/reports/stored/").json()["results"]
    assert [(row["state"], row["deliveries"][0]["state"]) for row in stored] == [("ready", "sent")]
    number = stored[0]["id"]
    assert Caller(Scope.MONITOR).get(f"{BASE}/reports/stored/{number}/json/").json()["endpoint"] == "digits"
    assert Caller(Scope.MONITOR).get(f"{BASE}/reports/stored/{number}/html/").status_code == 200
    call_command("reports", "show", "--stored", str(number))
    assert "digits version 1" in capsys.readouterr().out
