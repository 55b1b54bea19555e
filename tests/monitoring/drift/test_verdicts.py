"""Verdicts on real images: clean digits raise no alarm, changed ones do; too few say nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_digits

from aiplatform.features import image_features
from aiplatform.profiles import DataProfile
from monitoring.drift.results import DriftLimits, DriftTable, Verdict
from monitoring.drift.table import compare_profiles, missing_baseline

LIMITS = DriftLimits()
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverted": lambda images: 255.0 - images,
    "noisy": lambda images: np.clip(images + np.random.default_rng(5).normal(0, 60, images.shape), 0, 255),
    "brightened": lambda images: np.clip(images + 60.0, 0, 255),
    "darkened": lambda images: images * 0.6,
}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return training and other images, shape (n, 8, 8), 0 to 255."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    images = (data.images * (255.0 / 16.0))[order]
    return images[:1200], images[1200:]


def profile_of(images: np.ndarray) -> DataProfile:
    profile = DataProfile()
    profile.update(image_features(images))
    return profile


def compare(baseline: np.ndarray, window: np.ndarray) -> DriftTable:
    return compare_profiles(profile_of(baseline), profile_of(window), LIMITS)


def test_clean_digits_give_hardly_any_false_alarm_in_200_windows(digits: tuple[np.ndarray, np.ndarray]) -> None:
    train, rest = digits
    random = np.random.default_rng(3)
    sizes = [100, 200, 400]
    tables = [compare(train, rest[random.integers(0, len(rest), sizes[i % 3])]) for i in range(200)]
    assert sum(table.verdict is Verdict.DRIFTED for table in tables) <= 3
    assert all(table.verdict is not Verdict.NOT_ENOUGH_DATA for table in tables)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_digits_are_seen_in_every_window(digits: tuple[np.ndarray, np.ndarray], change: str) -> None:
    train, rest = digits
    random = np.random.default_rng(4)
    for size in (100, 200, 400):
        window = CHANGES[change](rest[random.integers(0, len(rest), size)])
        assert compare(train, window).verdict is Verdict.DRIFTED


def test_too_few_predictions_are_not_enough_data_however_strange(digits: tuple[np.ndarray, np.ndarray]) -> None:
    train, rest = digits
    table = compare(train, 255.0 - rest[:99])
    assert table.verdict is Verdict.NOT_ENOUGH_DATA
    assert all(test.statistic is None for column in table.features for test in column.tests)


def test_a_verdict_carries_what_it_was_made_of(digits: tuple[np.ndarray, np.ndarray]) -> None:
    train, rest = digits
    column = next(c for c in compare(train, 255.0 - rest[:300]).features if c.column == "brightness")
    psi, ks = column.find_test("psi"), column.find_test("ks")
    assert psi and ks and psi.statistic and ks.statistic
    assert (psi.baseline_samples, psi.window_samples, psi.threshold) == (1200, 300, LIMITS.psi_threshold)
    assert psi.p_value is not None and psi.p_value < 1e-6
    assert sum(column.distribution.window) == pytest.approx(1)


def test_without_a_baseline_there_is_no_verdict() -> None:
    table = missing_baseline("the artifact cannot be reached")
    assert (table.verdict, table.has_baseline) == (Verdict.NOT_ENOUGH_DATA, False)
    assert "reached" in table.reason


def test_a_column_of_another_kind_is_left_out() -> None:
    numbers, words = DataProfile(), DataProfile()
    numbers.update({"a": np.arange(200.0)})
    words.update({"a": np.array(["x"] * 200, dtype=object)})
    assert compare_profiles(numbers, words, LIMITS).verdict is Verdict.NOT_ENOUGH_DATA


def test_windows_merge_before_they_are_compared(digits: tuple[np.ndarray, np.ndarray]) -> None:
    train, rest = digits
    whole, parts = profile_of(rest[:300]), DataProfile()
    for start in range(0, 300, 50):
        parts.merge(profile_of(rest[start : start + 50]))
    one, many = (compare_profiles(profile_of(train), side, LIMITS).features for side in (whole, parts))
    # Sketches compact at random: over 600 pairs the greatest difference seen was 0.047, the mean 0.007.
    for left, right in zip(one, many, strict=True):
        assert left.statistic("psi") == pytest.approx(right.statistic("psi"), abs=0.08)
