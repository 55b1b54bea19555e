"""The statistics of categories agree with scipy's; bins that the baseline chose do not find drift by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from aiplatform.profiles import CategoryProfile
from monitoring.drift.bins import NEW, OTHER, bin_categories, bin_for_tests, new_categories
from monitoring.drift.chi_square import chi_square_test, critical_value
from monitoring.drift.jensen_shannon import jensen_shannon_distance
from tests.monitoring.drift.samples import categories_of

SHARES = {
    "same": ([0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
    "moved": ([0.5, 0.3, 0.2], [0.4, 0.3, 0.3]),
    "one": ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
    "gone": ([0.5, 0.3, 0.2], [0.6, 0.4, 0.0]),
    "new": ([0.6, 0.4, 0.0], [0.5, 0.3, 0.2]),
}


def draw(random: np.random.Generator, shares: list[float], rows: int) -> np.ndarray:
    return random.choice(np.array(["red", "blue", "green"], dtype=object), rows, p=shares)


@pytest.mark.parametrize("sizes", [(150, 120), (20_000, 3_000)])
@pytest.mark.parametrize("shares", SHARES)
def test_jensen_shannon_and_chi_square_are_scipys(shares: str, sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(len(shares))
    a, b = (draw(random, share, size) for share, size in zip(SHARES[shares], sizes, strict=True))
    counts = np.array([[(side == name).sum() for name in ("red", "blue", "green")] for side in (a, b)], dtype=float)
    counts = counts[:, counts.sum(axis=0) > 0]
    pair = bin_for_tests(categories_of(a), categories_of(b, parts=5))
    assert pair is not None
    assert jensen_shannon_distance(pair) == pytest.approx(jensenshannon(*counts), abs=1e-9)
    statistic, degrees, p_value = chi_square_test(pair)
    if counts.shape[1] == 1:
        assert (statistic, p_value) == (0.0, 1.0)
        return
    exact = stats.chi2_contingency(counts, correction=False)
    assert statistic == pytest.approx(exact.statistic)
    assert degrees == exact.dof
    assert p_value == pytest.approx(exact.pvalue, rel=1e-9, abs=1e-300)


def test_many_names_are_compared_by_their_hash_exactly() -> None:
    random = np.random.default_rng(0)
    a, b = (random.integers(0, 30_000, size).astype(str).astype(object) for size in (50_000, 4_000))
    baseline, window = categories_of(a), categories_of(b, parts=9)
    whole = categories_of(b)
    assert not window.is_exact and window.count == 4_000
    assert window.buckets is not None and whole.buckets is not None
    assert window.buckets.tolist() == whole.buckets.tolist()
    pair = bin_for_tests(baseline, window)
    assert pair is not None and pair.window.sum() == 4_000 and len(pair.names) == 64
    assert chi_square_test(pair)[2] > 0.01, "the same thirty thousand names, all rare"


def test_other_names_of_the_same_number_are_seen() -> None:
    random = np.random.default_rng(0)
    a = random.zipf(1.3, 20_000).astype(str).astype(object)
    b = np.array([f"user {n}" for n in random.zipf(1.3, 2_000)], dtype=object)
    pair = bin_for_tests(categories_of(a), categories_of(b, parts=3))
    assert pair is not None and chi_square_test(pair)[2] < 1e-9


def test_a_baseline_without_buckets_and_with_lost_names_says_nothing() -> None:
    names = np.array([f"n{i}" for i in range(1000)], dtype=object)
    baseline, window = categories_of(names), categories_of(names, parts=2)
    baseline.buckets = None
    assert bin_for_tests(baseline, window) is None


def test_new_categories_get_a_bin_of_their_own_and_are_named() -> None:
    a, b = CategoryProfile(), CategoryProfile()
    a.add_counts({"red": 50, "blue": 50})
    b.add_counts({"red": 50, "blue": 40, "green": 7, "grey": 3})
    pair = bin_categories(a, b)
    assert pair.names == ("blue", "red", NEW)
    assert pair.window.tolist() == [40, 50, 10]
    assert new_categories(a, b) == {"green": 7, "grey": 3}


def test_categories_beyond_the_bins_are_other_and_the_sums_stay() -> None:
    a, b = CategoryProfile(), CategoryProfile()
    a.add_counts({f"c{i}": 100 - i for i in range(40)})
    b.add_counts({f"c{i}": 10 for i in range(45)})
    pair = bin_categories(a, b)
    assert (len(pair.names), pair.names[-2]) == (22, OTHER)
    assert pair.baseline.sum() == a.count
    assert pair.window.sum() == b.count
    assert pair.window[-1] == 50


def test_rare_bins_are_tested_as_one() -> None:
    a, b = CategoryProfile(), CategoryProfile()
    a.add_counts({"x": 1000, **{f"rare {i}": 1 for i in range(10)}})
    b.add_counts({"x": 1000, "rare 10": 1})
    statistic, degrees, _ = chi_square_test(bin_categories(a, b))
    assert degrees == 1
    assert statistic == pytest.approx(stats.chi2_contingency([[1000, 10], [1000, 1]], correction=False).statistic)


@pytest.mark.parametrize("degrees", [1, 2, 9, 63])
def test_the_critical_value_is_the_chi_square_quantile(degrees: int) -> None:
    assert critical_value(degrees, 0.005) == pytest.approx(stats.chi2.isf(0.005, degrees), rel=1e-6)
