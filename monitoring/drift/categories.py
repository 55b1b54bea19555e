"""All tests of a category: chi-square, Jensen-Shannon and PSI on the same counts."""

from __future__ import annotations

from aiplatform.profiles import CategoryProfile
from monitoring.drift.bins import bin_for_tests
from monitoring.drift.chi_square import chi_square_test, critical_value
from monitoring.drift.evidence import Evidence, Found
from monitoring.drift.jensen_shannon import jensen_shannon_distance
from monitoring.drift.psi import population_stability_index
from monitoring.drift.results import Direction, DriftLimits


def examine_categories(baseline: CategoryProfile, window: CategoryProfile, limits: DriftLimits) -> Evidence:
    """Return what the tests find, without a verdict. Missing values are a bin, so they count as samples."""
    n, m = (side.count + side.missing for side in (baseline, window))
    pair = bin_for_tests(baseline, window) if min(n, m) >= limits.min_samples else None
    is_small = n <= limits.small_baseline
    thresholds = {"chi2": 1.0, "js": limits.js_threshold, "psi": limits.psi_threshold}
    deciding = {"chi2": is_small, "js": not is_small, "psi": True}
    values: dict[str, tuple[float, float | None]] = {}
    if pair is not None:
        statistic, degrees, p_value = chi_square_test(pair)
        thresholds["chi2"] = critical_value(degrees, limits.significance)
        values = {
            "chi2": (statistic, p_value),
            "js": (jensen_shannon_distance(pair), None),
            "psi": (population_stability_index(pair), p_value),
        }
    found = [
        Found(
            test=test, threshold=threshold, baseline_samples=n, window_samples=m, is_deciding=deciding[test]
        ).with_value(*values.get(test, (None, None)))
        for test, threshold in thresholds.items()
    ]
    return Evidence(found=tuple(found), direction=Direction.SHAPE)
