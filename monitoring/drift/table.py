"""Compares every column of a window with the baseline, and judges all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.embeddings import is_embedding_column
from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from monitoring.drift.bins import MISSING, NEW, BinnedPair, new_categories
from monitoring.drift.categories import examine_categories
from monitoring.drift.discovery import adjust_p_values
from monitoring.drift.evidence import Evidence
from monitoring.drift.numbers import examine_numbers
from monitoring.drift.psi import bin_profiles, psi_terms
from monitoring.drift.results import (
    ColumnDrift,
    Direction,
    Distribution,
    DriftLimits,
    DriftTable,
    Verdict,
    combine_verdicts,
)

NAMED = 10  # new categories told
Columns = Mapping[str, FeatureProfile]


@dataclass(frozen=True)
class _Examined:
    name: str
    baseline: FeatureProfile
    window: FeatureProfile
    pair: BinnedPair
    evidence: Evidence


def compare_profiles(baseline: DataProfile, window: DataProfile, limits: DriftLimits) -> DriftTable:
    """Return a verdict for each column that both have, one for all, and one for the features as a data set.

    The p-values of all columns are adjusted together (Benjamini-Hochberg), so a model with many
    features raises no more false alarms than one with few. The dimensions of an embedding are a family of their own: a
    model that has one finds the same in its features and predictions as without it.
    """
    features = _examine(baseline.features, window.features, limits)
    outputs = _examine(baseline.outputs, window.outputs, limits)
    predictions = [e for e in outputs if not is_embedding_column(e.name)]
    embedding = sorted((e for e in outputs if is_embedding_column(e.name)), key=lambda e: (len(e.name), e.name))
    judged = _judge_together([features, predictions], limits)
    dimensions = _judge_together([embedding], limits)[0]
    return DriftTable(
        verdict=combine_verdicts(column.verdict for group in (*judged, dimensions) for column in group),
        has_baseline=True,
        reason="" if features or outputs else "the window and the baseline have no column in common",
        features=judged[0],
        predictions=judged[1],
        embedding=dimensions,
        **_dataset(judged[0], limits),
    )


def _judge_together(groups: Sequence[Sequence[_Examined]], limits: DriftLimits) -> list[tuple[ColumnDrift, ...]]:
    """Return the columns of each group, judged with their p-values adjusted over all of the groups."""
    known = [e for group in groups for e in group if e.evidence.p_value is not None]
    adjusted = adjust_p_values([e.evidence.p_value or 0.0 for e in known])
    by_column = {id(e): p for e, p in zip(known, adjusted, strict=True)}
    return [tuple(_judge(e, by_column.get(id(e)), limits) for e in group) for group in groups]


def missing_baseline(reason: str) -> DriftTable:
    """Return the table of a version whose artifact has no profile, or cannot be reached."""
    return DriftTable(verdict=Verdict.NOT_ENOUGH_DATA, has_baseline=False, reason=reason)


def _examine(baseline: Columns, window: Columns, limits: DriftLimits) -> list[_Examined]:
    return [
        _examine_column(name, baseline[name], profile, limits)
        for name, profile in sorted(window.items())
        if name in baseline and type(baseline[name]) is type(profile)
    ]


def _examine_column(name: str, baseline: FeatureProfile, window: FeatureProfile, limits: DriftLimits) -> _Examined:
    pair = bin_profiles(baseline, window)
    if isinstance(baseline, NumericProfile) and isinstance(window, NumericProfile):
        evidence = examine_numbers(baseline, window, pair, limits)
    elif isinstance(baseline, CategoryProfile) and isinstance(window, CategoryProfile):
        evidence = examine_categories(baseline, window, limits)
    else:
        raise TypeError(f"the baseline is {type(baseline).__name__}, the window {type(window).__name__}")
    return _Examined(name, baseline, window, pair, evidence)


def _judge(examined: _Examined, adjusted: float | None, limits: DriftLimits) -> ColumnDrift:
    is_significant = adjusted is not None and adjusted <= limits.significance
    direction = _direction(examined)
    results = tuple(f.judge(is_significant=is_significant, direction=direction) for f in examined.evidence.found)
    verdict = combine_verdicts(result.verdict for result in results if result.is_deciding)
    baseline, window = examined.baseline, examined.window
    new: tuple[str, ...] = ()
    if isinstance(baseline, CategoryProfile) and isinstance(window, CategoryProfile):
        new = tuple(new_categories(baseline, window))[:NAMED]
    return ColumnDrift(
        column=examined.name,
        kind="category" if isinstance(baseline, CategoryProfile) else "numeric",
        tests=results,
        verdict=verdict,
        distribution=_distribution(examined.pair),
        p_value=examined.evidence.p_value,
        adjusted_p_value=adjusted,
        direction=direction if verdict is Verdict.DRIFTED else Direction.NONE,
        new_categories=new,
        missing_share=missing_share(window),
        baseline_missing_share=missing_share(baseline),
        distinct=window.distinct if isinstance(window, CategoryProfile) else None,
    )


def missing_share(profile: FeatureProfile) -> float | None:
    """Return the share of values that were missing; None if there were none at all."""
    total = profile.count + profile.missing
    return profile.missing / total if total else None


def _direction(examined: _Examined) -> Direction:
    """Return what changed most: missing values or new categories if they are most of the PSI, else as the test says."""
    terms = psi_terms(examined.pair) if examined.pair.names else np.zeros(0)
    by_name = dict(zip(examined.pair.names, terms.tolist(), strict=True))
    for name, direction in ((MISSING, Direction.MISSING), (NEW, Direction.NEW_CATEGORIES)):
        if by_name.get(name, 0.0) > sum(by_name.values()) / 2:
            return direction
    return examined.evidence.direction


def _dataset(features: tuple[ColumnDrift, ...], limits: DriftLimits) -> dict[str, Any]:
    judged = [column for column in features if column.verdict is not Verdict.NOT_ENOUGH_DATA]
    drifted = sum(column.verdict is Verdict.DRIFTED for column in judged)
    share = drifted / len(judged) if judged else None
    verdict = Verdict.NOT_ENOUGH_DATA
    if share is not None:
        verdict = Verdict.DRIFTED if share >= limits.dataset_share else Verdict.OK
    return {
        "dataset_verdict": verdict, "drifted_share": share, "drifted_count": drifted, "judged_count": len(judged),
        "dataset_share": limits.dataset_share,
    }  # fmt: skip


def _distribution(pair: BinnedPair) -> Distribution:
    totals = [max(float(side.sum()), 1e-12) for side in (pair.baseline, pair.window)]
    return Distribution(
        bins=pair.names,
        baseline=tuple(float(c) / totals[0] for c in pair.baseline),
        window=tuple(float(c) / totals[1] for c in pair.window),
    )
