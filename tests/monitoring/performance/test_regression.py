"""Measures of numbers agree with scikit-learn's, and wild numbers that were corrected leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as exact

from monitoring.performance.counts import Counts, add_up, pack_counts, unpack_counts
from monitoring.performance.labelled_rows import count_rows
from monitoring.performance.regression import measure_regression
from monitoring.performance.results import RegressionResult
from tests.monitoring.performance.rows import count, valued

pytestmark = pytest.mark.long


def make(rows: int, *, seed: int, centre: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = centre + random.normal(0, 2, rows)
    return truth, truth + random.normal(0.3, 1, rows)


@pytest.mark.parametrize("centre", [0.0, 50.0, 1e6, -1e9])
def test_every_measure_is_scikit_learns(centre: float) -> None:
    truth, said = make(500, seed=1, centre=centre)
    found = measure_regression(count(valued(truth.tolist(), said.tolist()), windows=9))
    assert found is not None
    assert found.mean_absolute_error.value == pytest.approx(exact.mean_absolute_error(truth, said))
    assert found.root_mean_squared_error.value == pytest.approx(exact.root_mean_squared_error(truth, said))
    assert found.r_squared.value == pytest.approx(exact.r2_score(truth, said), abs=1e-6)
    assert found.bias.value == pytest.approx((said - truth).mean(), abs=1e-6)


def measured(rows: int, *, seed: int) -> RegressionResult:
    found = measure_regression(count(valued(*(a.tolist() for a in make(rows, seed=seed)))))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def samples() -> list[RegressionResult]:
    """Give the measures of 200 small samples, and last those of a large one: near the truth."""
    return [*(measured(200, seed=seed) for seed in range(200)), measured(50_000, seed=999)]


@pytest.mark.parametrize("measure", ["mean_absolute_error", "root_mean_squared_error", "r_squared", "bias"])
def test_nineteen_of_twenty_intervals_hold_the_truth(samples: list[RegressionResult], measure: str) -> None:
    *found, whole = (getattr(sample, measure) for sample in samples)
    assert 180 <= sum(estimate.low <= whole.value <= estimate.high for estimate in found) <= 200


def test_a_constant_truth_has_no_r_squared() -> None:
    found = measure_regression(count(valued([3.0, 3.0], [2.0, 5.0])))
    assert found is not None
    assert (found.r_squared.value, found.mean_absolute_error.value) == (None, 1.5)


def test_a_perfect_model_has_no_error() -> None:
    found = measure_regression(count(valued([1.0, 2.0, 4.0], [1.0, 2.0, 4.0])))
    assert found is not None
    assert (found.root_mean_squared_error.value, found.r_squared.value, found.bias.value) == (0.0, 1.0, 0.0)


def test_a_wild_number_that_was_corrected_leaves_no_trace() -> None:
    good = count(valued([1.0, 2.0, 3.0], [1.1, 2.1, 3.1], segments=b"\x02"))
    wild = count_rows(valued([1e300], [-1e250], segments=b"\x02"), known=good)
    back = count_rows(valued([1e300], [-1e250], segments=b"\x02", sign=-1), known=good)
    assert measure_regression(add_up([good, wild, back])) == measure_regression(good)
    assert add_up([wild, back]).valued_segments == {}


def test_a_changed_truth_in_the_same_segment_changes_its_sums() -> None:
    before = count(valued([1.0], [2.0], segments=b"\x00"))
    changed = count_rows(
        [*valued([1.0], [2.0], segments=b"\x00", sign=-1), *valued([1.5], [2.0], segments=b"\x00")], known=before
    )
    rows, absolute, _ = add_up([before, changed]).valued_segments[0]
    assert (rows, float(absolute.fraction())) == (1, 0.5)


def test_counts_survive_storage() -> None:
    counts = count(valued([1.5, -2.25, 1e-200], [1.0, 7.0, 3.0], segments=b"\x01\x05"))
    assert unpack_counts(pack_counts(counts)) == counts
    assert unpack_counts(b"") == Counts()
