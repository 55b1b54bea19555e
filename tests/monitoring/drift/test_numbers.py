"""The statistics of numbers from sketches agree with scipy's within the sketches' stated error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from aiplatform.profiles import DataProfile, NumericProfile
from monitoring.drift.bins import bin_edges, bin_numbers, smoothed_shares
from monitoring.drift.ks import distance_error, kolmogorov_smirnov_distance, ks_p_value, read_sample
from monitoring.drift.psi import population_stability_index
from monitoring.drift.wasserstein import mean_shift, scale_of, wasserstein_distance
from monitoring.windows import union_profiles
from tests.monitoring.drift.samples import NUMBERS, SIZES, baseline_of, finite, sample, window_of

ROUNDING = 2.0**-16  # of a value: windows keep 16 significant bits


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("pair", NUMBERS)
def test_the_ks_distance_is_scipys_within_the_sketches_error(pair: str, sizes: tuple[int, int]) -> None:
    a, b = sample(pair, sizes)
    exact = stats.ks_2samp(finite(a), finite(b), method="asymp").statistic
    baseline, window = baseline_of(a), window_of(b)
    assert abs(kolmogorov_smirnov_distance(baseline, window) - exact) <= distance_error(baseline, window) + 1e-9


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("pair", NUMBERS)
def test_the_wasserstein_distance_is_scipys_within_the_sketches_error(pair: str, sizes: tuple[int, int]) -> None:
    a, b = sample(pair, sizes)
    exact = stats.wasserstein_distance(finite(a), finite(b))
    baseline, window = baseline_of(a), window_of(b)
    left, right = read_sample(baseline), read_sample(window)
    both = np.concatenate([finite(a), finite(b)])
    # A rank error moves a value by no more than the range; rounding moves each by its own little.
    allowed = distance_error(baseline, window) * np.ptp(both) + 2 * ROUNDING * np.abs(both).max()
    assert abs(wasserstein_distance(left, right) - exact) <= allowed


def test_the_scaled_wasserstein_distance_of_a_large_window_is_within_a_tenth_of_a_deviation() -> None:
    # Sketches compact at random: over 300 pairs both errors had a deviation of 0.02.
    a, b = sample("shifted normal", (20_000, 3_000))
    left, right = read_sample(baseline_of(a)), read_sample(window_of(b))
    exact = stats.wasserstein_distance(a, b) / np.std(a)
    scale = scale_of(baseline_of(a).moments.deviation, left, right)
    assert wasserstein_distance(left, right) / scale == pytest.approx(exact, abs=0.1)
    assert mean_shift(left, right) == pytest.approx(b.mean() - a.mean(), abs=0.1)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("pair", NUMBERS)
def test_the_psi_is_the_exact_one_within_the_sketches_error(pair: str, sizes: tuple[int, int]) -> None:
    a, b = sample(pair, sizes)
    baseline, window = baseline_of(a), window_of(b)
    edges = bin_edges(baseline)
    exact = [_counts(side, edges) for side in (a, b)]
    p, q = smoothed_shares(exact[0]), smoothed_shares(exact[1])
    psi = float(np.sum((q - p) * np.log(q / p)))
    errors = [_share_error(profile) for profile in (baseline, window)]
    # |d PSI / d q| = |ln(q/p) + (q-p)/q| and the same for p: the largest change that the errors allow
    slope_q, slope_p = np.abs(np.log(q / p) + 1 - p / q), np.abs(-np.log(q / p) + 1 - q / p)
    allowed = np.sum(slope_q * errors[1] + slope_p * errors[0])
    allowed += 2 * len(p) * sum(errors) ** 2 / min(p.min(), q.min())
    assert abs(population_stability_index(bin_numbers(baseline, window)) - psi) <= allowed + 1e-6


def _counts(values: np.ndarray, edges: list[float]) -> np.ndarray:
    known = finite(values).astype(np.float32).astype(float)
    relaxed = np.array(edges) + ROUNDING * np.abs(edges) / 1.999  # a value rounded onto an edge counts below it
    counts = np.bincount(np.searchsorted(relaxed, known, side="left"), minlength=len(edges) + 1).astype(float)
    missing = len(values) - len(finite(values))
    return np.append(counts, missing) if missing else counts


def _share_error(profile: NumericProfile) -> float:
    return 1e-9 if profile.is_exact else float(profile.sketch.normalized_rank_error(True))


def test_a_period_of_many_windows_is_known_better_than_one_window() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=(60, 3000))
    windows = [DataProfile(rows=3000, features={"x": window_of(part)}) for part in values]
    hour = union_profiles(windows).features["x"]
    one = windows[0].features["x"]
    assert isinstance(hour, NumericProfile) and isinstance(one, NumericProfile)
    assert hour.rank_deviation < one.rank_deviation / 2
    baseline = baseline_of(values.ravel())
    gap = kolmogorov_smirnov_distance(baseline, hour)
    assert gap <= distance_error(baseline, hour), "the union of many sketches keeps the error that it states"


@pytest.mark.parametrize("n,m", [(50, 80), (500, 200), (20_000, 3_000)])
@pytest.mark.parametrize("shift", [0.03, 0.1, 0.4])
def test_the_p_value_of_exact_samples_is_near_scipys(n: int, m: int, shift: float) -> None:
    random = np.random.default_rng(n)
    a, b = random.normal(size=min(n, 150)), random.normal(shift, size=min(m, 90))
    exact = stats.ks_2samp(a, b, method="asymp")
    baseline, window = baseline_of(a), window_of(b)
    found = ks_p_value(kolmogorov_smirnov_distance(baseline, window), baseline, window)
    assert found == pytest.approx(exact.pvalue, rel=0.25, abs=0.03)


def test_a_constant_that_changes_is_seen_by_all_tests() -> None:
    a, b = baseline_of(np.full(500, 5.0)), window_of(np.full(500, 3.0))
    left, right = read_sample(a), read_sample(b)
    assert population_stability_index(bin_numbers(a, b)) > 1
    assert kolmogorov_smirnov_distance(a, b) == 1.0
    assert wasserstein_distance(left, right) / scale_of(0.0, left, right) == pytest.approx(2.0)
    assert population_stability_index(bin_numbers(a, window_of(np.full(500, 5.0)))) == pytest.approx(0)


def test_missing_values_are_a_bin() -> None:
    a, b = baseline_of(np.arange(100.0)), window_of(np.array([*np.arange(50.0), *[np.nan] * 50]))
    pair = bin_numbers(a, b)
    assert pair.window[-1] == 50
    assert population_stability_index(pair) > 0.25


def test_the_names_of_bins_tell_close_edges_apart() -> None:
    near_one = 1 - np.linspace(1e-4, 1e-2, 1000)
    names = bin_numbers(baseline_of(near_one), window_of(near_one)).names
    assert len({*names}) == len(names)
    assert "> 1" not in names, "no share is greater than 1"


def test_a_value_of_its_own_bin_is_named_as_that() -> None:
    often = np.concatenate([np.linspace(0.0, 0.3, 700), np.full(300, 0.328125), np.linspace(0.33, 0.4, 400)])
    names = bin_numbers(baseline_of(often), window_of(often)).names
    assert "< 0.3281" in names and "= 0.3281" in names
    assert len(set(names)) == len(names)
    assert bin_numbers(baseline_of(np.full(500, 5.0)), window_of(np.full(500, 5.0))).names == ("< 5", "= 5", "> 5")
