"""A report says whether a version is well, and where it is not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from aiplatform.contracts.monitoring import FeedbackItem
from aiplatform.errors import InvalidInputError, NotFoundError
from aiplatform.http.codec import encode_message
from monitoring.drift.results import Verdict
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.reports.document import PerformanceReport, report_to_dict
from monitoring.reports.report import build_report
from monitoring.reports.verdict import Health
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db
RANDOM = np.random.default_rng(0)
LABELS = [str(i % 10) for i in range(1000)]


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[str, str]:
    """Return uri and digest of an artifact that was 95% accurate in training."""
    features = {"brightness": RANDOM.normal(100, 10, 1000)}
    return write_artifact(tmp_path, features, {"label": np.array(LABELS, dtype=object)}, metrics={"accuracy": 0.95})


def record(
    artifact: tuple[str, str], *, shift: float = 0.0, errors: int = 0, right: int = 0, labelled: int = 0
) -> None:
    """Record 300 predictions, `errors` of them failed, `right` of `labelled` confirmed."""
    statuses = [500] * errors + [200] * (300 - errors)
    values = RANDOM.normal(100 + shift, 10, 300)
    ids = [f"p{i}" for i in range(300)]
    batch = make_batch(
        300,
        ids=ids,
        numeric={"brightness": values},
        labels=LABELS[:300],
        statuses=statuses,
        uri=artifact[0],
        digest=artifact[1],
    )
    record_predictions(batches=[batch], now=NOW)
    truth = [LABELS[i] if i < right else "x" for i in range(labelled)]
    record_feedback(items=[FeedbackItem(prediction_id=ids[i], label=label) for i, label in enumerate(truth)], now=NOW)


def report() -> PerformanceReport:
    return build_report(endpoint="digits", version=1, period_s=600, now=NOW)


def test_a_healthy_version_is_well(artifact: tuple[str, str]) -> None:
    record(artifact, right=96, labelled=100)
    found = report()
    assert (found.verdict.health, found.verdict.problems, found.verdict.gaps) == (Health.WELL, (), ())
    assert "no drift" in found.verdict.text


def test_drifted_features_are_named(artifact: tuple[str, str]) -> None:
    record(artifact, shift=40, right=96, labelled=100)
    verdict = report().verdict
    assert verdict.health is Health.NOT_WELL
    assert [finding.area for finding in verdict.problems] == ["drift", "quality"]  # 40 above is out of range, too
    assert "brightness" in verdict.text


def test_accuracy_far_below_the_trainers_own_is_a_problem(artifact: tuple[str, str]) -> None:
    record(artifact, right=70, labelled=100)
    found = report()
    assert [finding.area for finding in found.verdict.problems] == ["accuracy"]
    assert "95.0% was expected" in found.verdict.text


def test_trouble_at_the_end_of_a_long_period_does_not_drown(artifact: tuple[str, str]) -> None:
    for minute in range(20, 50):
        values, labels = RANDOM.normal(100, 10, 200), LABELS[:200]
        time = NOW - timedelta(minutes=minute)
        batch = make_batch(
            200, time=time, numeric={"brightness": values}, labels=labels, uri=artifact[0], digest=artifact[1]
        )
        record_predictions(batches=[batch], now=NOW)
    record(artifact, shift=40)
    found = build_report(endpoint="digits", version=1, period_s=3600, now=NOW)
    assert found.drift.verdict is Verdict.OK  # 300 among 6,300
    assert found.verdict.health is Health.NOT_WELL
    assert found.verdict.text.startswith("Not well in the last 15 minutes: drifted: brightness")
    assert (found.series[-1].worst_psi or 0) > 1


def test_the_drift_of_a_quiet_minute_looks_back_for_enough_predictions(artifact: tuple[str, str]) -> None:
    for minute in range(4):
        values, time = RANDOM.normal(100, 10, 40), NOW - timedelta(minutes=minute)
        batch = make_batch(40, time=time, numeric={"brightness": values}, uri=artifact[0], digest=artifact[1])
        record_predictions(batches=[batch], now=NOW)
    assert [point.worst_psi is not None for point in report().series] == [False, False, True, True]


def test_few_labels_do_not_condemn(artifact: tuple[str, str]) -> None:
    record(artifact, right=5, labelled=10)
    found = report()
    assert found.verdict.health is Health.WELL  # drift says so; accuracy is a gap
    assert [finding.area for finding in found.verdict.gaps] == ["accuracy"]


def test_failed_requests_are_a_problem(artifact: tuple[str, str]) -> None:
    record(artifact, errors=15)
    assert [finding.area for finding in report().verdict.problems] == ["errors"]


def test_without_baseline_and_labels_there_is_not_enough_data() -> None:
    record_predictions(batches=[make_batch(500)], now=NOW)
    found = report()
    assert found.verdict.health is Health.NOT_ENOUGH_DATA
    assert {finding.area for finding in found.verdict.gaps} == {"accuracy", "baseline"}


def test_silence_is_no_traffic(artifact: tuple[str, str]) -> None:
    record(artifact)
    later = build_report(endpoint="digits", version=1, period_s=600, now=NOW + timedelta(hours=5))
    assert later.verdict.health is Health.NO_TRAFFIC
    assert later.series == ()
    assert encode_message(report_to_dict(later))


def test_the_series_has_a_point_a_minute_with_gaps(artifact: tuple[str, str]) -> None:
    record_predictions(batches=[make_batch(60, time=NOW - timedelta(minutes=4)), make_batch(30)], now=NOW)
    points = report().series
    assert [point.predictions for point in points] == [60, 0, 0, 0, 30]
    assert points[0].throughput_per_s == pytest.approx(1.0)
    assert points[4].throughput_per_s == pytest.approx(1.0)  # 30 in the half minute so far
    assert points[1].latency_p95_ms is None


def test_a_long_period_is_drawn_in_few_points(artifact: tuple[str, str]) -> None:
    times = [NOW - timedelta(hours=h) for h in range(24)]
    record_predictions(batches=[make_batch(10, time=time) for time in times], now=NOW)
    found = build_report(endpoint="digits", version=1, period_s=86_400, now=NOW)
    assert len(found.series) <= 121
    assert sum(point.predictions for point in found.series) == found.traffic.predictions == 240


def test_the_whole_report_is_json(artifact: tuple[str, str]) -> None:
    record(artifact, shift=40, errors=3, right=90, labelled=100)
    assert len(encode_message(report_to_dict(report()))) > 1000


def test_unknown_versions_and_periods_are_refused() -> None:
    with pytest.raises(NotFoundError):
        report()
    with pytest.raises(InvalidInputError, match="period_s"):
        build_report(endpoint="digits", version=1, period_s=5, now=NOW)
