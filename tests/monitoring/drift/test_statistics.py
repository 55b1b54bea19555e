"""The statistics from sketches agree with the exact ones within the sketches' stated error."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from aiplatform.profiles import CategoryProfile, NumericProfile
from monitoring.drift.bins import NEW, bin_categories, bin_edges, bin_numbers, smoothed_shares
from monitoring.drift.ks import distance_error, kolmogorov_smirnov_distance, ks_p_value
from monitoring.drift.psi import population_stability_index, psi_p_value

Sampler = Callable[[np.random.Generator, int], np.ndarray]

PAIRS: dict[str, tuple[Sampler, Sampler]] = {
    "same normal": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(size=n)),
    "shifted normal": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(0.7, size=n)),
    "wider normal": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(0, 2.5, size=n)),
    "exponential": (lambda r, n: r.exponential(size=n), lambda r, n: r.exponential(1.6, size=n)),
    "two humps": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(r.choice([-2, 2], n), 0.5)),
    "whole numbers": (lambda r, n: r.poisson(3, n).astype(float), lambda r, n: r.poisson(4, n).astype(float)),
    "mostly zero": (lambda r, n: r.binomial(1, 0.1, n) * r.random(n), lambda r, n: r.binomial(1, 0.3, n) * r.random(n)),
}
SIZES = [(150, 120), (20_000, 3_000), (5_000, 50_000)]


def profile_of(values: np.ndarray) -> NumericProfile:
    profile = NumericProfile()
    profile.update(values)
    return profile


def sample(pair: str, sizes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(abs(hash((len(pair), sizes))) % 2**32)
    return PAIRS[pair][0](random, sizes[0]), PAIRS[pair][1](random, sizes[1])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("pair", PAIRS)
def test_the_ks_distance_is_scipys_within_the_sketches_error(pair: str, sizes: tuple[int, int]) -> None:
    a, b = sample(pair, sizes)
    exact = stats.ks_2samp(a, b, method="asymp").statistic
    sketched = kolmogorov_smirnov_distance(profile_of(a), profile_of(b))
    assert abs(sketched - exact) <= distance_error(profile_of(a), profile_of(b)) + 1e-9


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("pair", PAIRS)
def test_the_psi_is_the_exact_one_within_the_sketches_error(pair: str, sizes: tuple[int, int]) -> None:
    a, b = sample(pair, sizes)
    baseline, window = profile_of(a), profile_of(b)
    edges = bin_edges(baseline)
    exact = [np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1) for side in (a, b)]
    p, q = smoothed_shares(exact[0].astype(float)), smoothed_shares(exact[1].astype(float))
    psi = float(np.sum((q - p) * np.log(q / p)))
    errors = [
        x.sketch.normalized_rank_error(True) if x.sketch.is_estimation_mode() else 1e-9 for x in (baseline, window)
    ]
    # |d PSI / d q| = |ln(q/p) + (q-p)/q| and the same for p: the largest change that the errors allow
    slope_q, slope_p = np.abs(np.log(q / p) + 1 - p / q), np.abs(-np.log(q / p) + 1 - q / p)
    allowed = float(
        np.sum(slope_q * errors[1] + slope_p * errors[0]) + 2 * len(p) * sum(errors) ** 2 / min(p.min(), q.min())
    )
    assert abs(population_stability_index(bin_numbers(baseline, window)) - psi) <= allowed + 1e-6


@pytest.mark.parametrize("n,m", [(50, 80), (500, 200), (20_000, 3_000)])
@pytest.mark.parametrize("distance", [0.03, 0.1, 0.2, 0.4])
def test_the_ks_p_value_is_near_scipys(n: int, m: int, distance: float) -> None:
    effective = n * m / (n + m)
    exact = float(stats.kstwo.sf(distance, round(effective)))
    assert ks_p_value(distance, baseline_samples=n, window_samples=m) == pytest.approx(exact, rel=0.25, abs=0.01)


@pytest.mark.parametrize("bins", [2, 5, 11, 22])
@pytest.mark.parametrize("psi", [0.01, 0.05, 0.2])
def test_the_psi_p_value_is_the_chi_square_tail(bins: int, psi: float) -> None:
    exact = float(stats.chi2.sf(psi * 1000 * 500 / 1500, bins - 1))
    assert psi_p_value(psi, bins=bins, baseline_samples=1000, window_samples=500) == pytest.approx(
        exact, rel=0.2, abs=0.01
    )


def test_without_drift_p_values_are_not_small_more_often_than_they_should() -> None:
    random = np.random.default_rng(1)
    small = {"psi": 0, "ks": 0}
    for _ in range(400):
        a, b = random.normal(size=400), random.normal(size=200)
        pair = bin_numbers(profile_of(a), profile_of(b))
        psi = population_stability_index(pair)
        small["psi"] += psi_p_value(psi, bins=len(pair.names), baseline_samples=400, window_samples=200) < 0.05
        distance = kolmogorov_smirnov_distance(profile_of(a), profile_of(b))
        small["ks"] += ks_p_value(distance, baseline_samples=400, window_samples=200) < 0.05
    assert small["psi"] <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)
    assert small["ks"] <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_a_constant_that_changes_is_seen_by_both_tests() -> None:
    a, b = profile_of(np.full(500, 5.0)), profile_of(np.full(500, 3.0))
    assert population_stability_index(bin_numbers(a, b)) > 1
    assert kolmogorov_smirnov_distance(a, b) == 1.0
    assert population_stability_index(bin_numbers(a, a)) == pytest.approx(0)


def test_new_categories_get_a_bin_of_their_own() -> None:
    a, b = CategoryProfile(), CategoryProfile()
    a.add_counts({"red": 50, "blue": 50})
    b.add_counts({"red": 50, "blue": 40, "green": 10})
    pair = bin_categories(a, b)
    assert pair.names == ("blue", "red", NEW)
    assert pair.window.tolist() == [40, 50, 10]


def test_categories_beyond_the_bins_are_other_and_the_sums_stay() -> None:
    a, b = CategoryProfile(), CategoryProfile()
    a.add_counts({f"c{i}": 100 - i for i in range(40)})
    b.add_counts({f"c{i}": 10 for i in range(45)})
    pair = bin_categories(a, b)
    assert len(pair.names) == 22
    assert pair.baseline.sum() == a.count
    assert pair.window.sum() == b.count
    assert pair.window[-1] == 50


def test_missing_values_are_a_bin() -> None:
    a, b = profile_of(np.arange(100.0)), profile_of(np.array([*np.arange(50.0), *[np.nan] * 50]))
    pair = bin_numbers(a, b)
    assert pair.window[-1] == 50
    assert population_stability_index(pair) > 0.25


def test_the_names_of_bins_tell_close_edges_apart() -> None:
    near_one = 1 - np.linspace(1e-6, 1e-3, 1000)
    profile = profile_of(near_one)
    names = bin_numbers(profile, profile).names
    assert len({*names}) == len(names)
    assert "> 1" not in names, "no share is greater than 1"
