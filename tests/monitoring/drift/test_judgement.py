"""Tails, many tests at once, and the permutation test, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitoring.drift.discovery import adjust_p_values, combine_p_values
from monitoring.drift.mmd import run_mmd_test
from monitoring.drift.results import Verdict
from monitoring.drift.tails import chi_square_tail, kolmogorov_tail


@pytest.mark.parametrize("degrees", [1, 2, 10, 63, 200])
@pytest.mark.parametrize("statistic", [0.0, 0.5, 5.0, 30.0, 90.0, 400.0, 5000.0])
def test_the_chi_square_tail_is_scipys(statistic: float, degrees: int) -> None:
    assert chi_square_tail(statistic, degrees) == pytest.approx(stats.chi2.sf(statistic, degrees), rel=1e-9, abs=1e-250)


@pytest.mark.parametrize("n,m", [(50, 80), (500, 200), (20_000, 3_000)])
@pytest.mark.parametrize("distance", [0.03, 0.1, 0.2, 0.4])
def test_the_kolmogorov_tail_is_near_scipys(n: int, m: int, distance: float) -> None:
    exact = float(stats.kstwo.sf(distance, round(n * m / (n + m))))
    assert kolmogorov_tail(distance, baseline_samples=n, window_samples=m) == pytest.approx(exact, rel=0.25, abs=0.01)


def test_benjamini_and_hochberg_by_hand() -> None:
    # of four: 0.01 * 4/1, 0.02 * 4/2, 0.03 * 4/3, 0.5 * 4/4; the least of itself and all after it
    assert adjust_p_values([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.04, 0.04, 0.5, 0.04])
    assert adjust_p_values([]) == []
    assert adjust_p_values([0.7]) == [0.7]


@pytest.mark.parametrize("count", [1, 2, 17, 256])
def test_benjamini_and_hochberg_are_scipys(count: int) -> None:
    p_values = np.random.default_rng(count).random(count) ** 3
    assert adjust_p_values(p_values.tolist()) == pytest.approx(stats.false_discovery_control(p_values))


def test_p_values_of_the_same_data_are_multiplied_by_their_number() -> None:
    assert combine_p_values([0.01, 0.2]) == 0.02
    assert combine_p_values([0.9, 0.8]) == 1.0


def test_vectors_that_turned_are_seen_by_mmd_and_clean_ones_are_not() -> None:
    random = np.random.default_rng(0)
    baseline = random.normal(size=(400, 8))
    baseline[:, 1] += baseline[:, 0]  # correlated; each coordinate alone stays as it is when the sign turns
    turned = random.normal(size=(300, 8))
    turned[:, 1] -= turned[:, 0]
    clean = random.normal(size=(300, 8))
    clean[:, 1] += clean[:, 0]
    drifted = run_mmd_test(baseline, turned, significance=0.005)
    assert drifted.verdict is Verdict.DRIFTED
    assert drifted.p_value is not None and drifted.p_value <= 0.005 and (drifted.statistic or 0) > drifted.threshold
    assert run_mmd_test(baseline, clean, significance=0.005).verdict is Verdict.OK
    few = run_mmd_test(baseline, turned[:20], significance=0.005)
    assert (few.verdict, few.statistic, few.p_value) == (Verdict.NOT_ENOUGH_DATA, None, None)


def test_mmd_says_the_same_twice_and_its_p_values_are_even_without_drift() -> None:
    random = np.random.default_rng(1)
    sides = [(random.normal(size=(80, 3)), random.normal(size=(60, 3))) for _ in range(60)]
    found = [run_mmd_test(a, b, significance=0.05).p_value or 0.0 for a, b in sides]
    assert found == [run_mmd_test(a, b, significance=0.05).p_value for a, b in sides]
    assert stats.kstest(found, "uniform").pvalue > 0.01
