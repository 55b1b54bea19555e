"""A schedule's reports are planned, made and sent once each, in spite of several clocks, kills and stores away."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from aiplatform.errors import ArtifactError, UnavailableError
from monitoring.alerts.notifications import Delivery
from monitoring.ingestion import record_predictions
from monitoring.models import ReportDelivery, ReportSchedule, StoredReport
from monitoring.models.alerts import Channel
from monitoring.models.reports import ReportState
from monitoring.reports.delivery import send_due_reports
from monitoring.reports.periods import last_finished, list_finished
from monitoring.reports.schedules import (
    BACKOFF,
    CLAIM_S,
    claim_report,
    delete_old_reports,
    make_due_reports,
    make_report,
    plan_reports,
    read_stored,
)
from monitoring.reports.sending import send_schedule
from tests.monitoring.alerts.test_notifications import Webhook
from tests.monitoring.factories import make_batch

DAY = datetime(2026, 11, 22, tzinfo=UTC)
MORNING = DAY + timedelta(days=1, hours=8)  # the day after


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Path:
    """Keep reports in a folder of the test's own."""
    settings.REPORT_STORE = str(tmp_path / "reports")
    return tmp_path / "reports"


def schedule(**changes: Any) -> ReportSchedule:
    """Make a daily schedule that began before the day."""
    made = ReportSchedule.objects.create(**{"name": "daily", "endpoint": "digits", **changes})
    ReportSchedule.objects.filter(pk=made.pk).update(created_at=DAY)
    return ReportSchedule.objects.get(pk=made.pk)


def traffic(at: datetime = DAY + timedelta(hours=12), version: int = 1, endpoint: str = "digits") -> None:
    record_predictions(batches=[make_batch(50, time=at, version=version, endpoint=endpoint)], now=at)


def make_all(now: datetime = MORNING) -> list[StoredReport]:
    plan_reports(now=now)
    make_due_reports(now=now)
    return list(StoredReport.objects.order_by("pk"))


@pytest.mark.django_db
class TestPeriods:
    """Days, weeks and months as people count them."""

    def test_a_day_of_the_summer_times_end_has_25_hours(self) -> None:
        start, end = last_finished("day", "Europe/Berlin", datetime(2026, 10, 26, 12, tzinfo=UTC))
        assert (start, end - start) == (datetime(2026, 10, 24, 22, tzinfo=UTC), timedelta(hours=25))

    def test_weeks_begin_on_monday_and_months_on_the_first(self) -> None:
        now = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday
        assert last_finished("week", "UTC", now)[0] == datetime(2026, 2, 23, tzinfo=UTC)
        assert last_finished("month", "UTC", now) == (
            datetime(2026, 2, 1, tzinfo=UTC),
            datetime(2026, 3, 1, tzinfo=UTC),
        )

    def test_periods_follow_each_other_without_a_gap(self) -> None:
        now = datetime(2026, 4, 2, tzinfo=UTC)
        found = list_finished("day", "America/New_York", since=now - timedelta(days=60), now=now, limit=50)
        assert len(found) == 50
        assert all(one[1] == other[0] for one, other in itertools.pairwise(found))


@pytest.mark.django_db
def test_a_cron_expression_makes_reports_at_its_times(settings: Any) -> None:
    schedule(period="cron", cron="0 6,18 * * *", time_zone="Europe/Berlin")
    traffic()
    reports = make_all()
    spans = [(r.period_start - DAY, r.period_end - DAY) for r in reports]
    hours = [(start / timedelta(hours=1), end / timedelta(hours=1)) for start, end in spans]
    assert hours == [(5, 17), (17, 29)], "what ended before the first prediction has no version to report on"
    assert [r.health for r in reports] == ["not_enough_data", "no_traffic"]
    assert make_all() == reports


@pytest.mark.django_db
def test_a_days_report_is_made_once_and_reads_as_it_was() -> None:
    schedule()
    traffic()
    [report] = make_all()
    assert (report.state, report.attempts, report.health) == (ReportState.READY, 1, "not_enough_data")
    assert make_all(MORNING + timedelta(hours=1)) == [report]
    found = read_stored(report)
    assert (found.title, found.traffic.predictions) == ("digits version 1", 50)
    assert found.period.end == DAY + timedelta(days=1) - timedelta(microseconds=1)


@pytest.mark.django_db
def test_a_report_waits_for_late_predictions() -> None:
    schedule()
    traffic()
    assert make_all(DAY + timedelta(days=1, minutes=1)) == []
    assert len(make_all(DAY + timedelta(days=1, minutes=6))) == 1


@pytest.mark.django_db
def test_every_version_that_served_has_its_report_and_silence_is_reported_too() -> None:
    schedule(endpoint="*")
    traffic(version=1)
    traffic(version=2)
    traffic(at=DAY - timedelta(days=2), endpoint="quiet")
    found = make_all()
    assert [(r.endpoint, r.version, r.health) for r in sorted(found, key=str)] == [
        ("digits", 1, "not_enough_data"),
        ("digits", 2, "not_enough_data"),
        ("quiet", 1, "no_traffic"),
    ]


@pytest.mark.django_db
def test_an_outage_is_caught_up_with_but_not_without_end() -> None:
    schedule()
    traffic()
    assert len(make_all(MORNING + timedelta(days=3))) == 4
    assert len(make_all(MORNING + timedelta(days=25))) == 4 + 7


@pytest.mark.django_db
def test_nothing_of_before_the_schedule_is_reported() -> None:
    ReportSchedule.objects.create(name="new", endpoint="digits")
    traffic()
    assert make_all(MORNING) == []


@pytest.mark.django_db
def test_the_database_refuses_a_second_report_on_a_period() -> None:
    schedule()
    traffic()
    [report] = make_all()
    report.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        report.save(force_insert=True)


@pytest.mark.django_db
def test_a_process_lost_midway_is_followed_by_another_and_writes_nothing_more(store: Path) -> None:
    schedule().channels.add(Channel.objects.create(name="ops", url="json://localhost"))
    traffic()
    plan_reports(now=MORNING)
    lost = StoredReport.objects.get()
    assert claim_report(lost, MORNING)  # and then it hangs
    assert make_due_reports(now=MORNING + timedelta(seconds=10)) == 0
    assert make_due_reports(now=MORNING + timedelta(seconds=CLAIM_S + 1)) == 1
    assert not make_report(lost, now=MORNING + timedelta(seconds=CLAIM_S + 2))
    [report] = StoredReport.objects.all()
    assert (report.state, report.attempts, report.deliveries.count()) == (ReportState.READY, 2, 1)
    assert len(list(store.rglob("*.json.gz"))) == 1, "the late one removes its own file"
    assert read_stored(report).title == "digits version 1"


@pytest.mark.django_db
def test_only_one_of_two_clocks_gets_a_report() -> None:
    schedule()
    traffic()
    plan_reports(now=MORNING)
    one, other = StoredReport.objects.get(), StoredReport.objects.get()
    assert claim_report(one, MORNING)
    assert not claim_report(other, MORNING)


@pytest.mark.django_db
def test_a_store_that_is_away_is_tried_again_and_then_given_up_visibly(settings: Any, tmp_path: Path) -> None:
    schedule()
    traffic()
    (tmp_path / "no-folder").write_text("in the way")
    settings.REPORT_STORE = str(tmp_path / "no-folder")
    [report] = make_all()
    assert report.state == ReportState.PLANNED
    assert "could not write the report" in report.error
    now = MORNING
    for _ in range(BACKOFF.attempts):
        now += timedelta(hours=2)
        make_due_reports(now=now)
    report.refresh_from_db()
    assert (report.state, report.attempts) == (ReportState.FAILED, BACKOFF.attempts)
    with pytest.raises(ArtifactError, match="failed"):
        read_stored(report)


@pytest.mark.django_db
def test_a_damaged_file_is_refused(store: Path) -> None:
    schedule()
    traffic()
    [report] = make_all()
    [file] = store.rglob("*.json.gz")
    file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(ArtifactError, match="checksum"):
        read_stored(report)


@pytest.mark.django_db
def test_the_message_says_the_verdict_links_and_carries_the_file(settings: Any) -> None:
    settings.CONSOLE_URL = "https://console.example"
    with Webhook() as webhook:
        schedule().channels.add(Channel.objects.create(name="ops", url=webhook.url))
        traffic()
        [report] = make_all()
        from monitoring.alerts.channels import deliver

        assert send_due_reports(deliver=deliver, clock=lambda: MORNING) == 1
        assert send_due_reports(deliver=deliver, clock=lambda: MORNING + timedelta(days=1)) == 0
    [message] = webhook.received
    assert message["title"].startswith("[NOT ENOUGH DATA] digits version 1, 2026-11-22 00:00 to")
    assert f"https://console.example/admin/monitoring/storedreport/{report.pk}/show/" in message["message"]
    [attached] = message["attachments"]
    assert attached["filename"].endswith(".html")
    assert attached["mimetype"] == "text/html"


@pytest.mark.django_db
def test_a_channel_that_is_away_is_tried_again(settings: Any) -> None:
    with Webhook() as webhook:
        webhook.status = 500
        schedule().channels.add(Channel.objects.create(name="ops", url=webhook.url))
        traffic()
        make_all()
        from monitoring.alerts.channels import deliver

        assert send_due_reports(deliver=deliver, clock=lambda: MORNING) == 0
        assert ReportDelivery.objects.get().state == "pending"
        assert Channel.objects.get().last_error
        webhook.status = 200
        assert send_due_reports(deliver=deliver, clock=lambda: MORNING + timedelta(hours=1)) == 1
    assert ReportDelivery.objects.get().state == "sent"


@pytest.mark.django_db
def test_a_channel_that_became_an_alertmanager_gets_nothing_and_the_delivery_says_why() -> None:
    schedule().channels.add(Channel.objects.create(name="ops", url="json://localhost"))
    traffic()
    make_all()
    Channel.objects.update(kind="alertmanager", url="http://127.0.0.1:9093")
    sent: list[Delivery] = []
    assert send_due_reports(deliver=sent.append, clock=lambda: MORNING) == 0
    delivery = ReportDelivery.objects.get()
    assert (delivery.state, sent) == ("failed", [])
    assert delivery.last_error == "reports go to channels of kind apprise only: 'ops' is of kind alertmanager"


@pytest.mark.django_db
def test_a_sender_lost_midway_is_followed_by_another() -> None:
    schedule().channels.add(Channel.objects.create(name="ops", url="json://localhost"))
    traffic()
    make_all()
    sent: list[Delivery] = []

    def die(delivery: Delivery) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send_due_reports(deliver=die, clock=lambda: MORNING)
    assert send_due_reports(deliver=sent.append, clock=lambda: MORNING + timedelta(seconds=10)) == 0
    assert send_due_reports(deliver=sent.append, clock=lambda: MORNING + timedelta(seconds=CLAIM_S + 1)) == 1
    assert len(sent) == 1


@pytest.mark.django_db
def test_reports_go_with_their_files_after_the_retention(store: Path) -> None:
    schedule()
    traffic()
    make_all()
    assert delete_old_reports(now=MORNING + timedelta(days=399)) == 0
    assert delete_old_reports(now=MORNING + timedelta(days=402)) == 1
    assert list(store.rglob("*.json.gz")) == []


@pytest.mark.django_db
def test_a_deleted_schedule_leaves_its_reports() -> None:
    made = schedule()
    traffic()
    make_all()
    made.delete()
    assert StoredReport.objects.get().schedule_name == "daily"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"version_scope": "one"}, "version"),
        ({"version": 3}, "version"),
        ({"cron": "0 6 * * *"}, "cron"),
        ({"period": "cron"}, "cron"),
        ({"period": "cron", "cron": "*/5 * * * *"}, "cron"),
        ({"version_scope": "one", "version": 3, "endpoint": "*"}, "endpoint"),
    ],
)
def test_a_schedule_that_could_never_work_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ReportSchedule(name="x", **{"endpoint": "digits", **changes}).full_clean()
    assert field in refused.value.message_dict


@pytest.mark.django_db
def test_a_schedule_without_predictions_cannot_be_sent() -> None:
    with pytest.raises(UnavailableError, match="nothing to report on"):
        send_schedule(schedule(), now=MORNING)


ROOT = Path(__file__).resolve().parents[3]
SET_UP = """
from datetime import timedelta
from django.core.management import call_command
call_command("migrate", verbosity=0, skip_checks=True)
from monitoring.ingestion import record_predictions
from monitoring.models import ReportSchedule
from monitoring.models.alerts import Channel
from tests.monitoring.factories import make_batch
from tests.monitoring.reports.one_clock import DAY, ENDPOINTS
channel = Channel.objects.create(name="ops", url="json://localhost")
schedule = ReportSchedule.objects.create(name="daily")
schedule.channels.add(channel)
ReportSchedule.objects.update(created_at=DAY)
for index in range(ENDPOINTS):
    at = DAY + timedelta(hours=12)
    record_predictions(batches=[make_batch(20, time=at, endpoint=f"endpoint-{index}")], now=at)
"""
COUNT = """
import json
from monitoring.models import ReportDelivery, StoredReport
from monitoring.reports.schedules import read_stored
ready = StoredReport.objects.filter(state="ready")
print("counted", json.dumps([StoredReport.objects.count(), ready.count(), len([read_stored(r) for r in ready]),
      ReportDelivery.objects.count(), max(r.attempts for r in ready)]))
"""


@pytest.mark.e2e
def test_two_clocks_one_of_them_killed_make_each_report_once(tmp_path: Path) -> None:
    from tests.monitoring.reports.one_clock import ENDPOINTS

    environment = {
        **os.environ, "AIPLATFORM_DEBUG": "1", "AIPLATFORM_ROLES": "monitoring", "DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/clocks.sqlite3", "DJANGO_SETTINGS_MODULE": "aiplatform.settings",
        "TRAINING_URL": "http://127.0.0.1:9", "INFERENCE_URL": "http://127.0.0.1:9",
        "REPORT_STORE": str(tmp_path / "reports"),
    }  # fmt: skip

    def manage(code: str) -> str:
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    def clock(*, is_late: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.monitoring.reports.one_clock", *(["late"] if is_late else [])]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    manage(SET_UP)
    clocks = [clock(), clock()]
    assert clocks[0].stdout
    assert clocks[0].stdout.readline() == "made one\n"
    clocks[0].kill()
    for process in clocks:
        process.communicate(timeout=90)
    late = clock(is_late=True)  # after the claims of the dead one have ended
    late.communicate(timeout=90)
    assert late.returncode == 0
    line = next(line for line in manage(COUNT).splitlines() if line.startswith("counted "))
    planned, ready, readable, deliveries, attempts = json.loads(line.removeprefix("counted "))
    assert (planned, ready, readable, deliveries) == (ENDPOINTS, ENDPOINTS, ENDPOINTS, ENDPOINTS)
    assert attempts <= 2
    files = list((tmp_path / "reports").rglob("*.json.gz"))
    assert ENDPOINTS <= len(files) <= ENDPOINTS + 1  # what was killed between writing and noting may leave its file
