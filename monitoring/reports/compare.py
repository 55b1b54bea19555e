"""Two versions side by side: for each measure whether the second is better, worse, or nobody can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from statistics import NormalDist
from typing import Any

import msgspec
from django.conf import settings

from monitoring.accuracy import Z_95
from monitoring.drift.results import DriftTable, Verdict
from monitoring.drift.table import compare_profiles
from monitoring.performance.results import Estimate
from monitoring.reports.document import PerformanceReport
from monitoring.reports.findings import drifted_columns, how_far
from monitoring.reports.measures import Measured, list_measures
from monitoring.reports.report import measure_windows, report_on
from monitoring.selectors import Period, drift_limits, get_served_version

SCHEMA_VERSION = 1
NAMED = 3  # measures that a headline names
CONFIDENCE = 0.95  # of all differences of a comparison together


class Difference(StrEnum):
    """How the second version stands to the first."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no_difference_to_tell"
    NOT_ENOUGH_DATA = "not_enough_data"

    @property
    def words(self) -> str:
        """Return it as people read it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two versions."""

    endpoint: str
    version: int

    @property
    def title(self) -> str:
        """Return its name."""
        return f"{self.endpoint} version {self.version}"


@dataclass(frozen=True, kw_only=True)
class ComparedMeasure:
    """One measure of both. `difference` is second minus first; `missing` how many more samples are needed.

    `kind` is 'share' or 'number'; `unit` what a number is in.
    """

    name: str
    kind: str
    unit: str
    lower_is_better: bool
    first: Estimate
    second: Estimate
    difference: Estimate
    verdict: Difference
    missing: int = 0


@dataclass(frozen=True, kw_only=True)
class ComparedColumn:
    """One feature's drift from the training data of each, and whether both saw the same of it."""

    column: str
    first: Verdict | None
    second: Verdict | None
    first_psi: float | None
    second_psi: float | None
    inputs: Verdict | None
    inputs_psi: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two reports and what differs between them."""

    schema_version: int = SCHEMA_VERSION
    verdict: Difference
    headline: str
    text: str
    same_inputs: Verdict  # ok: both saw the same kind of data; drifted: they did not, so compare with care
    inputs_text: str
    measures: tuple[ComparedMeasure, ...]
    columns: tuple[ComparedColumn, ...]
    first: PerformanceReport
    second: PerformanceReport


def compare_versions(first: Side, second: Side, period: Period, *, now: datetime | None = None) -> Comparison:
    """Return how the second version did against the first over a period.

    Raises: NotFoundError if one of them has no predictions.
    """
    now = now or datetime.now(UTC)
    found = [measure_windows(get_served_version(side.endpoint, side.version), period) for side in (first, second)]
    inputs = compare_profiles(found[0].profile, found[1].profile, drift_limits())
    return compare_reports(report_on(found[0], now=now), report_on(found[1], now=now), inputs)


def compare_reports(first: PerformanceReport, second: PerformanceReport, inputs: DriftTable) -> Comparison:
    """Return the comparison of two reports; `inputs` compares the second's data with the first's."""
    pairs = _pairs(list_measures(first), list_measures(second))
    measures = tuple(_compare(a, b, comparisons=len(pairs)) for a, b in pairs)
    verdict, headline, text = _summary(measures, first, second)
    features = [column.verdict for column in inputs.features]
    same = next((v for v in (Verdict.DRIFTED, Verdict.OK) if v in features), Verdict.NOT_ENOUGH_DATA)
    return Comparison(
        verdict=verdict, headline=headline, text=text, same_inputs=same, inputs_text=_inputs_text(same, inputs),
        measures=measures, columns=_columns(first.drift, second.drift, inputs), first=first, second=second,
    )  # fmt: skip


def comparison_to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON-ready values."""
    found: dict[str, Any] = msgspec.to_builtins(comparison)
    return found


def difference_of(first: Estimate, second: Estimate, *, comparisons: int = 1) -> Estimate:
    """Return second minus first with an interval that holds for all comparisons together.

    From the two values' own 95% intervals, widened for the number of comparisons (Bonferroni), by the
    method of variance estimates recovery; of two shares it is Newcombe's interval.
    Source: Zou and Donner, Construction of confidence limits about effect measures, Stat. Med. 27 (2008).
    """
    if None in (first.value, first.low, first.high, second.value, second.low, second.high):
        return Estimate()
    a, a_low, a_high = float(first.value or 0), float(first.low or 0), float(first.high or 0)
    b, b_low, b_high = float(second.value or 0), float(second.low or 0), float(second.high or 0)
    widening = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * max(1, comparisons))) / Z_95
    down, up = widening * math.hypot(b - b_low, a_high - a), widening * math.hypot(b_high - b, a - a_low)
    return Estimate(value=b - a, low=b - a - down, high=b - a + up, samples=min(first.samples, second.samples))


def _compare(first: Measured, second: Measured, *, comparisons: int) -> ComparedMeasure:
    difference = difference_of(first.estimate, second.estimate, comparisons=comparisons)
    needed = settings.ACCURACY_MIN_LABELS if first.is_labelled else settings.DRIFT_MIN_SAMPLES
    missing = max(0, needed - min(first.estimate.samples, second.estimate.samples))
    return ComparedMeasure(
        name=first.name, kind=first.kind, unit=first.unit, lower_is_better=first.lower_is_better,
        first=first.estimate, second=second.estimate, difference=difference, missing=missing,
        verdict=_judge(difference, missing, lower_is_better=first.lower_is_better),
    )  # fmt: skip


def _judge(difference: Estimate, missing: int, *, lower_is_better: bool) -> Difference:
    if missing or difference.low is None or difference.high is None:
        return Difference.NOT_ENOUGH_DATA
    if difference.low <= 0 <= difference.high:
        return Difference.SAME
    return Difference.BETTER if (difference.high < 0) == lower_is_better else Difference.WORSE


def _pairs(first: Sequence[Measured], second: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Return the measures that either has, in pairs; one that only one has stands beside an empty one."""
    known = ({m.name: m for m in first}, {m.name: m for m in second})
    names = list(dict.fromkeys(m.name for m in (*first, *second)))
    empty = [{m.name: msgspec.structs.replace(m, estimate=Estimate()) for m in side.values()} for side in known]
    return [(known[0].get(n) or empty[1][n], known[1].get(n) or empty[0][n]) for n in names]


def _summary(
    measures: Sequence[ComparedMeasure], first: PerformanceReport, second: PerformanceReport
) -> tuple[Difference, str, str]:
    by_verdict = {verdict: [m.name for m in measures if m.verdict is verdict] for verdict in Difference}
    worse, better = by_verdict[Difference.WORSE], by_verdict[Difference.BETTER]
    same, unknown = by_verdict[Difference.SAME], by_verdict[Difference.NOT_ENOUGH_DATA]
    parts = [
        f"{words} in {', '.join(names)}"
        for words, names in (("worse", worse), ("better", better), ("no difference to tell", same))
        if names
    ]
    parts += [f"not enough data for {', '.join(unknown)}"] if unknown else []
    text = f"{second.title} against {first.title}: {'; '.join(parts)}."
    is_apart = second.endpoint != first.endpoint
    name, other = (r.title if is_apart else f"version {r.version}" for r in (second, first))
    if worse:
        mixed = f", better in {_few(better)}" if better else ""
        return Difference.WORSE, f"{_upper(name)} is worse than {other} in {_few(worse)}{mixed}", text
    if better:
        return Difference.BETTER, f"{_upper(name)} is better than {other} in {_few(better)}", text
    if same:
        return Difference.SAME, f"No difference to tell between {other} and {name}", text
    return Difference.NOT_ENOUGH_DATA, f"Not enough data to compare {other} with {name}", text


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def _inputs_text(same: Verdict, inputs: DriftTable) -> str:
    if same is Verdict.DRIFTED:
        names = ", ".join(column.column for column in drifted_columns(inputs.features)[:4])
        return f"They did not see the same data ({names} differ), so a difference may come from that"
    if same is Verdict.OK:
        return "They saw the same kind of data"
    return "Whether they saw the same kind of data is not known: too few predictions"


def _columns(first: DriftTable, second: DriftTable, inputs: DriftTable) -> tuple[ComparedColumn, ...]:
    tables = [{column.column: column for column in table.features} for table in (first, second, inputs)]
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = []
    for name in names:
        a, b, seen = (table.get(name) for table in tables)
        rows.append(
            ComparedColumn(
                column=name, first=a.verdict if a else None, second=b.verdict if b else None,
                first_psi=a.statistic("psi") if a else None, second_psi=b.statistic("psi") if b else None,
                inputs=seen.verdict if seen else None, inputs_psi=seen.statistic("psi") if seen else None,
            )
        )  # fmt: skip
    far = {name: max((how_far(table[name]) for table in tables if name in table), default=0.0) for name in names}
    return tuple(sorted(rows, key=lambda row: -far[row.column]))
