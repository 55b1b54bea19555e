"""Compares every column of a window with the baseline."""

from __future__ import annotations

from collections.abc import Mapping

from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from monitoring.drift.bins import BinnedPair
from monitoring.drift.ks import run_ks_test
from monitoring.drift.psi import bin_profiles, run_psi_test
from monitoring.drift.results import ColumnDrift, Distribution, DriftLimits, DriftTable, Verdict, combine_verdicts

Columns = Mapping[str, FeatureProfile]


def compare_profiles(baseline: DataProfile, window: DataProfile, limits: DriftLimits) -> DriftTable:
    """Return a verdict for each column that both have, and one for all features.

    The significance is shared out evenly over all tests (Bonferroni), so that a model with many
    features raises no more false alarms than one with few.
    """
    tests = _count_tests(baseline.features, window.features) + _count_tests(baseline.outputs, window.outputs)
    share = limits.significance / max(1, tests)
    features = _compare(baseline.features, window.features, limits, share)
    predictions = _compare(baseline.outputs, window.outputs, limits, share)
    return DriftTable(
        verdict=combine_verdicts(column.verdict for column in (*features, *predictions)),
        has_baseline=True,
        reason="" if features or predictions else "the window and the baseline have no column in common",
        features=features,
        predictions=predictions,
    )


def missing_baseline(reason: str) -> DriftTable:
    """Return the table of a version whose artifact has no profile, or cannot be reached."""
    return DriftTable(verdict=Verdict.NOT_ENOUGH_DATA, has_baseline=False, reason=reason)


def _compare(baseline: Columns, window: Columns, limits: DriftLimits, significance: float) -> tuple[ColumnDrift, ...]:
    return tuple(
        _compare_column(name, baseline[name], profile, limits, significance)
        for name, profile in sorted(window.items())
        if name in baseline and type(baseline[name]) is type(profile)
    )


def _compare_column(
    name: str, baseline: FeatureProfile, window: FeatureProfile, limits: DriftLimits, significance: float
) -> ColumnDrift:
    pair = bin_profiles(baseline, window)
    tests = [run_psi_test(pair, limits, significance=significance)]
    if isinstance(baseline, NumericProfile) and isinstance(window, NumericProfile):
        tests.append(run_ks_test(baseline, window, limits, significance=significance))
    return ColumnDrift(
        column=name,
        kind="category" if isinstance(baseline, CategoryProfile) else "numeric",
        tests=tuple(tests),
        verdict=combine_verdicts(result.verdict for result in tests),
        distribution=_distribution(pair),
    )


def _distribution(pair: BinnedPair) -> Distribution:
    totals = [max(float(side.sum()), 1e-12) for side in (pair.baseline, pair.window)]
    return Distribution(
        bins=pair.names,
        baseline=tuple(float(c) / totals[0] for c in pair.baseline),
        window=tuple(float(c) / totals[1] for c in pair.window),
    )


def _count_tests(baseline: Columns, window: Columns) -> int:
    shared = [window[name] for name in window if name in baseline]
    return sum(2 if isinstance(profile, NumericProfile) else 1 for profile in shared)
