"""A version that was imported without sample data has no baseline, and that is no error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from monitoring.baselines import load_baseline
from monitoring.drift.results import Verdict
from monitoring.ingestion import record_predictions
from monitoring.models import Baseline, ServedVersion
from monitoring.reports.report import build_report
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def served(tmp_path: Path) -> ServedVersion:
    uri, digest = write_artifact(tmp_path, None, metrics={"accuracy": 0.9})
    values = np.random.default_rng(0).normal(100, 10, 300)
    batch = make_batch(300, time=NOW, numeric={"brightness": values}, uri=uri, digest=digest)
    record_predictions(batches=[batch], now=NOW)
    return ServedVersion.objects.get()


def test_the_report_says_why_drift_cannot_be_judged_and_keeps_the_accuracy(served: ServedVersion) -> None:
    report = build_report(endpoint="digits", version=1, period_s=600, now=NOW)
    assert (report.drift.verdict, report.drift.has_baseline) == (Verdict.NOT_ENOUGH_DATA, False)
    assert "imported without sample data" in report.drift.reason
    assert (report.accuracy.expected, report.traffic.predictions) == (0.9, 300)


def test_an_artifact_without_a_profile_is_not_read_again_and_again(served: ServedVersion) -> None:
    load_baseline(served)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    Baseline.objects.update(checked_at=long_ago)
    load_baseline(served)
    assert Baseline.objects.get().checked_at == long_ago
