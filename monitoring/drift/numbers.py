"""All tests of a number: KS and Wasserstein on the sketches' values, PSI on the baseline's deciles."""

from __future__ import annotations

from aiplatform.profiles import NumericProfile
from monitoring.drift.bins import BINS, BinnedPair
from monitoring.drift.chi_square import chi_square_test
from monitoring.drift.evidence import Evidence, Found
from monitoring.drift.ks import effective_samples, ks_p_value, read_sample, sample_distance
from monitoring.drift.psi import population_stability_index
from monitoring.drift.results import Direction, DriftLimits
from monitoring.drift.wasserstein import mean_shift, scale_of, wasserstein_distance

SHIFT = 0.5  # of the Wasserstein distance: a mean that moved so far says the values went up, or down


def examine_numbers(
    baseline: NumericProfile, window: NumericProfile, pair: BinnedPair, limits: DriftLimits
) -> Evidence:
    """Return what the tests find, without a verdict."""
    n, m = baseline.count, window.count
    is_small = n + baseline.missing <= limits.small_baseline
    found = [
        Found(test="ks", threshold=limits.ks_threshold, baseline_samples=n, window_samples=m, is_deciding=is_small),
        Found(
            test="wasserstein", threshold=limits.wasserstein_threshold,
            baseline_samples=n, window_samples=m, is_deciding=not is_small,
        ),
        _psi(pair, baseline, window, limits),
    ]  # fmt: skip
    direction = Direction.SHAPE
    if min(n, m) >= limits.min_samples:
        left, right = read_sample(baseline), read_sample(window)
        distance, moved = sample_distance(left, right), wasserstein_distance(left, right)
        found[0] = found[0].with_value(distance, ks_p_value(distance, baseline, window))
        scale = scale_of(baseline.moments.deviation, left, right)
        found[1] = found[1].with_value(moved / scale, None)
        direction = _direction(mean_shift(left, right), moved)
    return Evidence(found=tuple(found), direction=direction)


def _psi(pair: BinnedPair, baseline: NumericProfile, window: NumericProfile, limits: DriftLimits) -> Found:
    """Return the PSI with the chi-square p-value of the same bins, at the counts that the sketches are worth."""
    n, m = round(float(pair.baseline.sum())), round(float(pair.window.sum()))
    found = Found(test="psi", threshold=limits.psi_threshold, baseline_samples=n, window_samples=m, is_deciding=True)
    if min(n, m) < limits.min_samples:
        return found
    worth = [effective_samples(p, share=1 / BINS) / max(1, p.count) if p.count else 1.0 for p in (baseline, window)]
    scaled = BinnedPair(names=pair.names, baseline=pair.baseline * worth[0], window=pair.window * worth[1])
    return found.with_value(population_stability_index(pair), chi_square_test(scaled)[2])


def _direction(shift: float, moved: float) -> Direction:
    if moved <= 0 or abs(shift) < SHIFT * moved:
        return Direction.SHAPE
    return Direction.UP if shift > 0 else Direction.DOWN
