"""Without labels the estimate is near the accuracy that labels show later, also when inputs get harder."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as exact

from aiplatform.calibration import CALIBRATION, Calibration, decode_calibration, encode_calibration
from aiplatform.contracts.monitoring import ClassScores, FeedbackItem
from aiplatform.errors import ArtifactCorruptError
from aiplatform.scores import encode_scores, log_odds
from monitoring.baselines import load_baseline
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import ServedVersion
from monitoring.performance.estimation import estimate_performance
from monitoring.performance.observed import bin_confidences, bin_scores
from monitoring.performance.over_time import estimate_over_time
from monitoring.performance.results import EstimatedResult
from monitoring.performance.rollup import roll_up_performance
from monitoring.reports.page_performance import performance_view
from monitoring.reports.report import build_report
from monitoring.selectors import Period
from monitoring.statistics import measure
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch
from tests.monitoring.performance.rows import random_probabilities
from training.calibrating import as_probabilities, fit_calibration

Array = np.ndarray


def overconfident(rows: int, classes: int, *, seed: int, noise: float = 1.0) -> tuple[Array, Array]:
    """Return (truth, probabilities) of a model whose confidences are far too high; more noise makes harder rows."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    evidence = random.normal(0, 1, (rows, classes))
    evidence[np.arange(rows), truth] += 2.0 / noise
    exp = np.exp(evidence * 4)
    return truth, exp / exp.sum(axis=1, keepdims=True)


def calibrated(rows: int, classes: int, *, noise: float = 1.0) -> Calibration:
    truth, probabilities = overconfident(rows, classes, seed=100, noise=noise)
    found = fit_calibration(probabilities, truth)
    assert found is not None
    return found


def estimated(probabilities: Array, calibration: Calibration) -> EstimatedResult:
    codes = encode_scores(probabilities)
    assert codes is not None
    sure = bin_scores(codes[:, 0]) if probabilities.shape[1] == 2 else bin_confidences(probabilities.max(axis=1))
    return estimate_performance(sure, calibration, expected=0.9, min_samples=100)


@pytest.mark.parametrize(("rows", "method"), [(400, "platt"), (5000, "isotonic")])
@pytest.mark.parametrize("classes", [2, 10])
def test_calibration_makes_confidence_mean_what_it_says(rows: int, method: str, classes: int) -> None:
    calibration = calibrated(rows, classes)
    assert (calibration.method, calibration.rows) == (method, rows)
    truth, probabilities = overconfident(20_000, classes, seed=1)
    is_right = probabilities.argmax(axis=1) == truth
    if classes == 2:
        chance, outcome, raw = calibration.apply(log_odds(probabilities[:, 1])), truth == 1, probabilities[:, 1]
    else:
        raw = probabilities.max(axis=1)
        chance, outcome = calibration.apply(log_odds(raw)), is_right
    assert exact.log_loss(outcome, chance) < 0.8 * exact.log_loss(outcome, raw)
    for low in np.arange(0.1, 1, 0.2):
        inside = (chance >= low - 0.1) & (chance < low + 0.1)
        if inside.sum() > 500:
            assert outcome[inside].mean() == pytest.approx(chance[inside].mean(), abs=0.08)


def test_the_curve_of_a_calibrated_model_is_the_diagonal() -> None:
    random = np.random.default_rng(0)
    score = random.uniform(0.02, 0.98, 8000)
    truth = (random.random(8000) < score).astype(int)
    calibration = fit_calibration(np.stack([1 - score, score], axis=1), truth)
    assert calibration is not None
    points = np.linspace(0.1, 0.9, 9)
    assert calibration.apply(log_odds(points)) == pytest.approx(points, abs=0.05)


@pytest.mark.parametrize("noise", [1.0, 1.3])
@pytest.mark.parametrize("classes", [2, 10])
def test_nineteen_of_twenty_intervals_hold_the_accuracy(classes: int, noise: float) -> None:
    held = 0
    for seed in range(100):
        truth, probabilities = overconfident(2000, classes, seed=200 + seed, noise=noise)
        train_truth, train = overconfident(2000, classes, seed=900 + seed, noise=noise)
        calibration = fit_calibration(train, train_truth)
        assert calibration is not None
        found = estimated(probabilities, calibration).accuracy
        assert found.low is not None and found.high is not None
        held += found.low <= (probabilities.argmax(axis=1) == truth).mean() <= found.high
    assert held >= 88


def test_two_classes_give_precision_recall_f1_and_area_too() -> None:
    calibration = calibrated(10_000, 2)
    truth, probabilities = overconfident(10_000, 2, seed=3)
    said, found = probabilities.argmax(axis=1), estimated(probabilities, calibration)
    assert found.precision and found.recall and found.f1 and found.roc_auc
    assert found.precision.value == pytest.approx(exact.precision_score(truth, said), abs=0.02)
    assert found.recall.value == pytest.approx(exact.recall_score(truth, said), abs=0.02)
    assert found.f1.value == pytest.approx(exact.f1_score(truth, said), abs=0.02)
    assert found.roc_auc.value == pytest.approx(exact.roc_auc_score(truth, probabilities[:, 1]), abs=0.02)


def test_harder_inputs_are_foreseen() -> None:
    """The model knows less of some rows and says so: confidences and accuracy fall together."""
    calibration = calibrated(10_000, 10)
    random = np.random.default_rng(5)
    truth, probabilities = overconfident(20_000, 10, seed=5)
    confidence = probabilities.max(axis=1)
    harder = random.random(20_000) < np.where(confidence < 0.95, 0.9, 0.1)
    found = estimated(probabilities[harder], calibration)
    wanted = (probabilities.argmax(axis=1) == truth)[harder].mean()
    before = estimated(probabilities, calibration).accuracy.value or 0.0
    assert before - wanted > 0.1
    assert found.accuracy.value == pytest.approx(wanted, abs=0.02)
    assert found.drop == pytest.approx(0.9 - (found.accuracy.value or 0.0))


def test_few_rows_and_no_probabilities_have_no_calibration() -> None:
    truth, probabilities = random_probabilities(40, 3, seed=0)
    assert fit_calibration(probabilities, truth) is None
    truth, probabilities = random_probabilities(400, 3, seed=0)
    assert fit_calibration(probabilities * 7 - 3, truth) is None
    assert fit_calibration(probabilities * 0.5, truth) is None  # several labels at once, each with a chance of its own


def test_a_model_that_is_always_right_is_never_quite_sure() -> None:
    probabilities = np.tile([1.0, 0.0, 0.0], (2000, 1))
    calibration = fit_calibration(probabilities, np.zeros(2000, int))
    assert calibration is not None
    assert 0.999 < calibration.apply(np.array([16.0]))[0] < 1


def test_a_single_output_is_the_probability_of_the_second_label() -> None:
    assert as_probabilities(np.array([[0.25], [1.0]]), 2) == pytest.approx(np.array([[0.75, 0.25], [0.0, 1.0]]))
    assert as_probabilities(np.zeros((2, 3)), 2) is None


def test_calibration_survives_its_file_and_a_damaged_one_is_refused() -> None:
    calibration = calibrated(2000, 3)
    assert decode_calibration(encode_calibration(calibration)) == calibration
    for raw in (b"{}", b"x", encode_calibration(replace(calibration, points=()))):
        with pytest.raises(ArtifactCorruptError, match=CALIBRATION):
            decode_calibration(raw)


@pytest.mark.django_db
def test_the_estimate_stands_beside_what_labels_show(tmp_path: Path) -> None:
    truth, probabilities = overconfident(1000, 2, seed=8)
    uri, digest = write_artifact(
        tmp_path, {"x": np.arange(100.0)}, metrics={"accuracy": 0.95}, calibration=calibrated(5000, 2)
    )
    codes = encode_scores(probabilities)
    assert codes is not None
    ids = [f"p{i}" for i in range(1000)]
    batch = make_batch(
        1000, ids=ids, labels=["no" if p[0] > 0.5 else "yes" for p in probabilities],
        confidences=probabilities.max(axis=1), scores=ClassScores(classes=("no", "yes"), codes=codes.tobytes()),
        numeric={"x": np.arange(1000.0)}, uri=uri, digest=digest,
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    record_feedback(
        items=[FeedbackItem(prediction_id=i, label=("no", "yes")[t]) for i, t in zip(ids[:500], truth, strict=False)]
    )
    found = measure("estimated_accuracy", endpoint="digits", version=None, window_s=300, now=NOW)
    realised = (probabilities.argmax(axis=1) == truth)[:500].mean()
    assert found.detail["realised"] == {1: pytest.approx(realised)}
    assert found.detail["low"] < realised < found.detail["high"]
    drop = measure("estimated_accuracy_drop", endpoint="digits", version=1, window_s=300, now=NOW)
    assert drop.value == pytest.approx(0.95 - (found.value or 0))
    assert (drop.detail["label_coverage"], drop.samples) == (0.5, 1000)


@pytest.mark.django_db
def test_an_artifact_without_calibration_says_so(tmp_path: Path) -> None:
    uri, digest = write_artifact(tmp_path, {"x": np.arange(100.0)})
    record_predictions(batches=[make_batch(200, numeric={"x": np.arange(200.0)}, uri=uri, digest=digest)], now=NOW)
    found = measure("estimated_accuracy", endpoint="digits", version=1, window_s=300, now=NOW)
    assert found.value is None and found.detail["reason"].startswith("no calibration")


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[str, str]:
    """Give a version whose confidence means what it says."""
    calibration = Calibration(subject="confidence", method="platt", rows=5000, accuracy=0.9)
    return write_artifact(tmp_path, {"x": np.arange(100.0)}, metrics={"accuracy": 0.9}, calibration=calibration)


def sure_batch(artifact: tuple[str, str], *, rows: int, minutes_ago: int, confidence: float) -> None:
    """Record answers of one confidence."""
    time = NOW - timedelta(minutes=minutes_ago)
    batch = make_batch(
        rows, time=time, ids=[f"m{minutes_ago}-{i}" for i in range(rows)], labels=["a"] * rows,
        confidences=np.full(rows, confidence), numeric={"x": np.arange(float(rows))},
        uri=artifact[0], digest=artifact[1],
    )  # fmt: skip
    record_predictions(batches=[batch], now=time)


@pytest.mark.django_db
def test_the_estimate_over_time_follows_each_minutes_confidence(artifact: tuple[str, str]) -> None:
    for minutes_ago, confidence, rows in ((30, 0.9, 200), (20, 0.6, 200), (19, 0.8, 50), (5, 0.7, 50)):
        sure_batch(artifact, rows=rows, minutes_ago=minutes_ago, confidence=confidence)
    report = build_report(endpoint="digits", version=1, period_s=3600, now=NOW)
    found = {
        (NOW - point.start) // timedelta(minutes=1): point
        for point in report.series
        if point.estimated_accuracy is not None
    }
    near = {minute: pytest.approx(accuracy, abs=0.015) for minute, accuracy in ((30, 0.9), (20, 0.6), (19, 0.64))}
    values = {minute: point.estimated_accuracy for minute, point in found.items()}
    assert values == near, "few rows take the minutes before them in; 50 rows alone are not enough"
    assert all((p.estimated_low or 1) < (p.estimated_accuracy or 0) < (p.estimated_high or 0) for p in found.values())
    chart = str(performance_view(report).over_time)
    assert "Accuracy, estimated" in chart and "in training" in chart
    record_feedback(items=[FeedbackItem(prediction_id=f"m30-{i}", label="a") for i in range(60)], now=NOW)
    report = build_report(endpoint="digits", version=1, period_s=3600, now=NOW)
    assert "Accuracy, realised and estimated" in str(performance_view(report).over_time)


@pytest.mark.django_db
def test_what_only_an_hour_stands_for_is_the_same_in_all_its_minutes(artifact: tuple[str, str]) -> None:
    sure_batch(artifact, rows=200, minutes_ago=30, confidence=0.9)
    served = ServedVersion.objects.get()
    roll_up_performance(now=NOW + timedelta(days=3))
    begin = (NOW - timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)
    period = Period(start=begin, end=begin + timedelta(minutes=30))
    calibration = load_baseline(served).calibration
    found = estimate_over_time(served, period, calibration=calibration, min_samples=100, buckets=120)
    assert len(found) == 31
    assert {(round(e.value or 0, 2), e.samples) for e in found.values()} == {(0.9, found[begin].samples)}
    assert estimate_over_time(served, period, calibration=None, min_samples=100, buckets=120) == {}
