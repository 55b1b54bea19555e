"""What is wrong with incoming data is counted exactly, or as exactly as the sketch promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.contracts.columns import Texts
from monitoring.ingestion import record_predictions
from monitoring.performance.results import FeatureQuality, QualityResult
from monitoring.performance.selectors import get_quality
from monitoring.selectors import Period
from monitoring.statistics import measure
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db
PERIOD = Period.last(3600, now=NOW)


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[str, str]:
    colours = np.array(["red", "blue"] * 500, dtype=object)
    return write_artifact(tmp_path, {"x": np.linspace(0, 1, 1000), "still": np.ones(1000), "colour": colours})


def quality(artifact: tuple[str, str] | None, **changes: object) -> QualityResult:
    uri, digest = artifact or ("file:///nowhere", "sha256:none")
    record_predictions(batches=[make_batch(uri=uri, digest=digest, **changes)], now=NOW)  # type: ignore[arg-type]
    return get_quality("digits", 1, PERIOD)


def of(found: QualityResult, name: str) -> FeatureQuality:
    return next(feature for feature in found.features if feature.feature == name)


def test_sound_data_has_no_problem(artifact: tuple[str, str]) -> None:
    x = np.random.default_rng(0).uniform(0, 1, 1000)
    found = quality(
        artifact, size=1000, numeric={"x": x, "still": np.ones(1000)}, categories={"colour": ["red", "blue"] * 500}
    )
    assert found.problems == 0
    assert found.duplicates.value == pytest.approx(0, abs=0.05)
    assert found.duplicates.low == 0


def test_each_problem_is_found_with_its_share(artifact: tuple[str, str]) -> None:
    x = np.where(np.arange(1000) < 100, np.nan, np.where(np.arange(1000) < 300, 7.0, 0.5))
    colours = ["green" if i % 4 == 0 else "red" for i in range(1000)]
    found = quality(artifact, size=1000, numeric={"x": x, "still": np.ones(1000)}, categories={"colour": colours})
    number, colour, still = of(found, "x"), of(found, "colour"), of(found, "still")
    assert (number.missing.value, number.out_of_range.value, number.expected_missing) == (0.1, 0.2, 0.0)
    assert number.problems == ("missing", "out_of_range")
    assert (colour.new_category_share.value, colour.new_categories) == (0.25, ("green",))
    assert (still.is_constant, still.problems) == (False, ())  # it was constant in training
    assert found.problems == 2
    ask: dict[str, Any] = {"endpoint": "digits", "version": 1, "window_s": 300, "now": NOW}
    assert measure("missing_share", **ask).value == 0.1
    assert measure("out_of_range_share", **ask).detail["feature"] == "x"
    assert measure("out_of_range_share", feature="still", **ask).value == 0
    assert measure("new_category_share", **ask).value == 0.25


def test_a_feature_that_stands_still_is_a_problem(artifact: tuple[str, str]) -> None:
    found = quality(artifact, size=200, numeric={"x": np.full(200, 0.3)}, categories={"colour": ["red"] * 200})
    assert of(found, "x").problems == ("constant",)
    assert of(found, "colour").is_constant
    assert measure("constant_features", endpoint="digits", version=1, window_s=300, now=NOW).value == 2


@pytest.mark.parametrize("repeated", [0.0, 0.3, 0.9])
def test_duplicate_rows_are_estimated_within_the_sketchs_error(repeated: float) -> None:
    random = np.random.default_rng(1)
    distinct = random.normal(0, 1, 5000)
    x = np.concatenate([distinct[: round(5000 * (1 - repeated))], random.choice(distinct[:10], round(5000 * repeated))])
    found = quality(None, size=5000, numeric={"x": x, "y": x * 2}, categories={"c": ["a"] * 5000})
    assert found.duplicates.value == pytest.approx(repeated, abs=0.05)
    assert found.duplicates.low is not None and found.duplicates.high is not None
    assert found.duplicates.low <= repeated + 0.002 and found.duplicates.high >= repeated - 0.002


def test_rows_repeated_in_another_minute_count_as_well(artifact: tuple[str, str]) -> None:
    rows = {"x": np.arange(100.0)}
    for minutes in (0, 5):
        time = NOW.replace(minute=NOW.minute + minutes) if minutes else NOW
        record_predictions(batches=[make_batch(100, numeric=rows, time=time)], now=time)
    found = get_quality("digits", 1, Period.last(3600, now=NOW.replace(minute=30)))
    assert found.duplicates.value == pytest.approx(0.5, abs=0.01)


def test_a_difference_in_one_category_makes_another_row() -> None:
    found = quality(None, size=2, numeric={"x": [1.0, 1.0]}, categories={"c": ["a", "b"]})
    assert found.duplicates.value == pytest.approx(0, abs=1e-6)


def test_refusals_are_counted_by_their_code() -> None:
    codes = [None] * 6 + ["invalid_input"] * 3 + ["rate_limited"]
    found = quality(
        None,
        size=10,
        statuses=[200] * 6 + [400] * 3 + [429],
        labels=["7"] * 6 + [None] * 4,
        error_codes=Texts.pack(codes),
    )
    assert found.refused == {"invalid_input": 3, "rate_limited": 1}
    assert found.schema_violations.value == pytest.approx(0.3)
    assert measure("schema_violation_rate", endpoint="digits", version=1, window_s=300, now=NOW).value == pytest.approx(
        0.3
    )


def test_without_a_baseline_only_what_needs_none_is_said() -> None:
    found = quality(None, size=200, numeric={"x": [np.nan] * 100 + [1.0] * 100})
    feature = of(found, "x")
    assert feature.missing.value == 0.5
    assert (feature.out_of_range.value, feature.expected_missing, feature.range_low) == (None, None, None)


def test_few_rows_are_no_problem(artifact: tuple[str, str]) -> None:
    found = quality(artifact, size=20, numeric={"x": np.full(20, 99.0)})
    assert of(found, "x").out_of_range.value == 1.0
    assert found.problems == 0
