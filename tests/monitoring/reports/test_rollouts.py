"""A report tells the rollouts of its period, as page, file and JSON; those of other times it leaves out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from monitoring.models.rollouts import Rollout
from monitoring.reports.document import PerformanceReport, decode_report, encode_report
from monitoring.reports.html import report_html
from monitoring.reports.report import build_report
from monitoring.rollouts.vocabulary import RolloutState
from tests.monitoring.reports.scenes import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def now(tmp_path: Path) -> datetime:
    """Return when the scene was recorded."""
    moment = datetime.now(UTC)
    Scene(tmp_path).record(now=moment)
    return moment


def rollout(challenger: int, *, created: datetime, endpoint: str = "digits", **changes: Any) -> Rollout:
    return Rollout.objects.create(
        key=f"{endpoint}-{challenger}", endpoint=endpoint, model=endpoint, champion=1, challenger=challenger,
        started_by="ann", created_at=created, **changes,
    )  # fmt: skip


def report(now: datetime) -> PerformanceReport:
    return build_report(endpoint="digits", version=1, period_s=3600, now=now + timedelta(seconds=1))


def test_rollouts_that_went_on_in_the_period_are_told_with_their_outcome(now: datetime) -> None:
    minutes = timedelta(minutes=1)
    rollout(2, created=now - 300 * minutes, ended_at=now - 200 * minutes, state=RolloutState.PROMOTED)
    rollout(
        3, created=now - 90 * minutes, ended_at=now - 30 * minutes, state=RolloutState.ROLLED_BACK,
        reason="error rate 9% against 1%",
    )  # fmt: skip
    rollout(4, created=now - 10 * minutes, waiting_for="200 more requests")
    rollout(5, created=now - 5 * minutes, endpoint="letters")
    going, over = report(now).rollouts
    assert (over.kind, over.champion, over.challenger, over.outcome) == ("rollout", 1, 3, "rolled_back")
    assert (over.started_at, over.ended_at) == (now - 90 * minutes, now - 30 * minutes)
    assert (over.by, over.text) == ("ann", "version 3 instead of 1: error rate 9% against 1%")
    assert (going.challenger, going.outcome, going.ended_at) == (4, "", None)
    assert "200 more requests" in going.text


def test_page_file_and_json_show_them(now: datetime) -> None:
    found = rollout(3, created=now - timedelta(minutes=9), ended_at=now - timedelta(minutes=2),
                    state=RolloutState.PROMOTED, reason="all gates passed")  # fmt: skip
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", "ada@example.org", "a-long-password"))
    made = report(now)
    page = client.get("/admin/monitoring/report/digits/1/").content.decode()
    assert f"/admin/monitoring/rollout/{found.pk}/change/" in page
    for text in ("version 3 instead of 1: all gates passed", "promoted", "ann"):
        assert text in page
        assert text in report_html(made)
    assert "version 3 promoted" in page  # the mark in the charts
    [line] = json.loads(encode_report(made))["rollouts"]
    assert (line["id"], line["outcome"]) == (found.pk, "promoted")


def test_a_report_stored_before_rollouts_were_told_still_reads(now: datetime) -> None:
    raw = json.loads(encode_report(report(now)))
    at = now.isoformat()
    raw["rollouts"] = [{"at": at, "kind": "rollback", "state": "succeeded", "text": "away from 2", "by": "rule 'x'"}]
    [line] = decode_report(json.dumps(raw).encode()).rollouts
    assert (line.id, line.outcome, line.challenger) == (None, "", None)
