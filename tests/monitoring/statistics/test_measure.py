"""Every metric is measured from windows, and says when there is nothing to measure."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from aiplatform.contracts.monitoring import FeedbackItem
from aiplatform.errors import InvalidInputError
from aiplatform.profiles import NumericProfile
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import Baseline, Window
from monitoring.selectors import merge_profiles
from monitoring.statistics import METRICS, Measurement, measure
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db
RANDOM = np.random.default_rng(0)
TRAINING = RANDOM.normal(100, 10, 2000)


def ask(metric: str, *, version: int | None = 1, window_s: int = 300, feature: str | None = None) -> Measurement:
    return measure(metric, endpoint="digits", version=version, window_s=window_s, now=NOW, feature=feature)


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[str, str]:
    """Return uri and digest of an artifact trained on TRAINING with even labels."""
    labels = np.array([str(i % 10) for i in range(2000)], dtype=object)
    return write_artifact(tmp_path, {"brightness": TRAINING, "fill": TRAINING / 200}, {"label": labels})


def record(artifact: tuple[str, str], values: np.ndarray, *, version: int = 1, labels: list[str] | None = None) -> None:
    uri, digest = artifact
    labels = labels or [str(i % 10) for i in range(len(values))]
    batch = make_batch(
        len(values),
        numeric={"brightness": values, "fill": values / 200},
        uri=uri,
        digest=digest,
        version=version,
        labels=labels,
    )
    record_predictions(batches=[batch], now=NOW)


@pytest.mark.parametrize("metric", METRICS)
def test_an_unknown_endpoint_has_no_data_for_any_metric(metric: str) -> None:
    found = ask(metric)
    assert (found.value, found.samples) == (None, 0)
    assert found.detail["reason"] == "no data"


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="latency_p95_ms"):
        ask("latency")


def test_error_rate_counts_server_errors_among_requests() -> None:
    record_predictions(
        batches=[make_batch(10, statuses=[200] * 7 + [400] + [500, 503], labels=["1"] * 7 + [None] * 3)], now=NOW
    )
    assert ask("error_rate").value == pytest.approx(0.2)
    assert ask("error_rate").samples == 10


def test_latency_percentiles_are_of_the_requests() -> None:
    record_predictions(batches=[make_batch(100, latency_ms=[float(i) for i in range(1, 101)])], now=NOW)
    assert [ask(f"latency_p{p}_ms").value for p in (50, 95, 99)] == pytest.approx([50, 95, 99], abs=1.5)


def test_throughput_is_rows_over_the_seconds_covered_and_zero_for_a_silent_endpoint() -> None:
    record_predictions(batches=[make_batch(330)], now=NOW)
    assert ask("throughput_per_s").value == pytest.approx(330 / 330)  # 300 s from within a minute: 330 s
    later = measure("throughput_per_s", endpoint="digits", version=1, window_s=60, now=NOW + timedelta(hours=1))
    assert (later.value, later.samples) == (0.0, 0)


def test_windows_outside_the_period_do_not_count() -> None:
    record_predictions(batches=[make_batch(5, time=NOW - timedelta(minutes=20)), make_batch(3)], now=NOW)
    assert ask("prediction_count").value == 3
    assert ask("prediction_count", window_s=3600).value == 8


def test_versions_are_apart_or_together() -> None:
    record_predictions(batches=[make_batch(5, version=1), make_batch(3, version=2)], now=NOW)
    assert [ask("prediction_count", version=v).value for v in (1, 2, None)] == [5, 3, 8]


def test_accuracy_comes_with_coverage_and_interval() -> None:
    ids = [f"p{i}" for i in range(10)]
    record_predictions(batches=[make_batch(10, ids=ids, labels=["7"] * 10)], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id=i, label="7" if n else "1") for n, i in enumerate(ids[:4])])
    found = ask("accuracy")
    assert (found.value, found.samples, found.detail["coverage"]) == (0.75, 4, 0.4)
    assert found.detail["low"] < 0.75 < found.detail["high"]
    assert ask("label_coverage").value == pytest.approx(0.4)


def test_mean_confidence_is_the_mean() -> None:
    record_predictions(batches=[make_batch(3, confidences=(0.5, 0.6, None))], now=NOW)
    assert ask("mean_confidence").value == pytest.approx(0.55)
    assert ask("mean_confidence").samples == 2


def test_drift_needs_nothing_configured(artifact: tuple[str, str]) -> None:
    record(artifact, RANDOM.normal(100, 10, 300))
    assert (ask("drift_psi").value or 0) < 0.2
    assert ask("drifted_feature_share").value == 0
    assert (ask("prediction_drift_psi").value or 0) < 0.05


def test_drift_names_the_worst_feature_or_the_one_asked_for(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    values = RANDOM.normal(100, 10, 300)
    batch = make_batch(300, numeric={"brightness": values + 40, "fill": values / 200}, uri=uri, digest=digest)
    record_predictions(batches=[batch], now=NOW)
    worst = ask("drift_psi")
    assert worst.value is not None and worst.value > 1
    assert (worst.detail["feature"], worst.detail["verdict"], worst.samples) == ("brightness", "drifted", 300)
    assert (ask("drift_psi", feature="fill").value or 0) < 0.2
    assert (ask("drift_ks").value or 0) > 0.8
    assert ask("drifted_feature_share").value == 0.5


def test_drift_of_all_versions_is_the_worst_ones(artifact: tuple[str, str]) -> None:
    record(artifact, RANDOM.normal(100, 10, 300), version=1)
    record(artifact, RANDOM.normal(150, 10, 300), version=2)
    assert ask("drift_psi", version=None).detail["version"] == 2


def test_predictions_that_change_are_prediction_drift(artifact: tuple[str, str]) -> None:
    record(artifact, RANDOM.normal(100, 10, 300), labels=["3"] * 300)
    assert (ask("prediction_drift_psi").value or 0) > 1


def test_few_predictions_are_not_enough_data_for_drift(artifact: tuple[str, str]) -> None:
    record(artifact, RANDOM.normal(150, 10, 50))
    found = ask("drift_psi")
    assert (found.value, found.samples, found.detail["reason"]) == (None, 50, "not enough data")


def test_an_unreachable_artifact_is_no_baseline_with_its_reason_and_is_tried_again(
    artifact: tuple[str, str], tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    shutil.move(tmp_path / "artifact", hidden)
    record(artifact, RANDOM.normal(150, 10, 300))
    assert "no baseline: ArtifactError" in ask("drift_psi").detail["reason"]
    shutil.move(hidden, tmp_path / "artifact")
    assert ask("drift_psi").value is None  # not asked again at once
    Baseline.objects.update(checked_at=NOW - timedelta(days=1))
    assert ask("drift_psi").value is not None


def test_a_corrupt_artifact_is_no_baseline(artifact: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "artifact" / "profile" / "profile.json").write_text("{}")
    record(artifact, RANDOM.normal(150, 10, 300))
    assert "ArtifactCorruptError" in ask("drift_psi").detail["reason"]


def test_each_test_of_drift_is_a_metric_with_its_threshold_and_direction(artifact: tuple[str, str]) -> None:
    record(artifact, RANDOM.normal(110, 10, 300))
    moved = ask("drift_wasserstein", feature="brightness")
    assert moved.value == pytest.approx(1.0, abs=0.15)
    assert (moved.detail["threshold"], moved.detail["direction"], moved.detail["verdict"]) == (0.1, "up", "drifted")
    assert moved.detail["adjusted_p_value"] < 1e-6
    assert ask("drift_js").detail["reason"] == "not enough data", "the features are numbers"


def test_dataset_drift_is_the_share_of_drifted_features_against_its_setting(
    artifact: tuple[str, str], settings: Settings
) -> None:
    uri, digest = artifact
    values = RANDOM.normal(100, 10, 300)
    batch = make_batch(300, numeric={"brightness": values + 40, "fill": values / 200}, uri=uri, digest=digest)
    record_predictions(batches=[batch], now=NOW)
    found = ask("dataset_drift")
    assert (found.value, found.detail["share"], found.detail["drifted"], found.samples) == (1.0, 0.5, 1, 300)
    settings.DRIFT_DATASET_SHARE = 0.6
    assert ask("dataset_drift").value == 0.0


def test_categories_have_drift_and_a_distinct_count(tmp_path: Path) -> None:
    colours = np.array(["red", "blue"] * 600, dtype=object)
    uri, digest = write_artifact(tmp_path, {"colour": colours})
    told = ["red"] * 150 + ["blue"] * 100 + ["green"] * 50
    record_predictions(batches=[make_batch(300, categories={"colour": told}, uri=uri, digest=digest)], now=NOW)
    assert ask("drift_js").detail["direction"] == "new_categories"
    assert (ask("drift_chi2").value or 0) > 100
    assert (ask("distinct_count").value, ask("distinct_count").detail["feature"]) == (3.0, "colour")


def test_numbers_are_compared_with_the_baselines_range_from_the_first(artifact: tuple[str, str]) -> None:
    record(artifact, np.full(300, 1000.0))
    record(artifact, np.array([1000.0] * 20 + [100.0] * 70 + [-1000.0] * 10))
    profile = merge_profiles(Window.objects.all()).features["brightness"]
    assert isinstance(profile, NumericProfile)
    assert (profile.ranges.checked, profile.ranges.below, profile.ranges.above) == (400, 10, 320)
