"""What speaks for and against a version, area by area, each in one sentence; the worst areas first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from monitoring.accuracy import Accuracy
from monitoring.drift.results import ColumnDrift, DriftTable, Verdict
from monitoring.performance.results import ChangeEvent, EstimatedResult, QualityResult
from monitoring.reports.verdict import Finding, Gap, HealthVerdict, Severity, give_verdict
from monitoring.selectors import Totals

NAMED = 4  # features that a sentence names
_DIRECTIONS = {"up": "up", "down": "down", "new_categories": "new categories", "missing": "missing values"}


@dataclass(frozen=True, kw_only=True)
class FiringAlert:
    """An alert that still fires at the end of the period."""

    rule: str
    severity: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a verdict rests on. `expected_accuracy` is the trainer's own on data held back, if known."""

    totals: Totals
    accuracy: Accuracy
    expected_accuracy: float | None
    drift: DriftTable
    estimated: EstimatedResult | None = None
    quality: QualityResult | None = None
    changes: Sequence[ChangeEvent] = ()
    alerts: Sequence[FiringAlert] = ()


def judge_health(evidence: Evidence, *, when: str = "") -> HealthVerdict:
    """Return the verdict. `when` is put into the text of a bad one."""
    return give_verdict(
        has_traffic=bool(evidence.totals.requests),
        findings=[*_findings(evidence)] if evidence.totals.requests else [],
        gaps=[*_gaps(evidence)],
        praise=_praise(evidence),
        when=when,
    )


def _findings(evidence: Evidence) -> Iterator[Finding]:
    yield from _error_findings(evidence.totals)
    yield from _accuracy_findings(evidence.accuracy, evidence.expected_accuracy)
    yield from _drift_findings(evidence.drift)
    yield from _estimate_findings(evidence)
    yield from _quality_findings(evidence.quality)
    yield from _change_findings(evidence.changes)
    yield from _alert_findings(evidence.alerts)


def _error_findings(totals: Totals) -> Iterator[Finding]:
    rate = totals.errors / totals.requests
    if rate > settings.REPORT_MAX_ERROR_RATE:
        yield Finding(area="errors", section="service", text=f"{rate:.1%} of {totals.requests:,} requests failed")


def _accuracy_findings(accuracy: Accuracy, expected: float | None) -> Iterator[Finding]:
    if expected is None or accuracy.value is None or accuracy.high is None:
        return
    if _is_judged(accuracy) and accuracy.high < expected - settings.ACCURACY_MAX_DROP:
        text = f"accuracy is {accuracy.value:.1%} on {accuracy.labelled:,} labels, {expected:.1%} was expected"
        yield Finding(area="accuracy", section="performance", text=text)


def _drift_findings(drift: DriftTable) -> Iterator[Finding]:
    drifted, judged = drifted_columns(drift.features), judged_columns(drift.features)
    if drifted:
        is_bad = len(drifted) / len(judged) >= drift.dataset_share
        count = f" ({len(drifted)} of {len(judged)} features)" if len(judged) > 1 else ""
        yield _drift_finding("drift", "drift", f"drifted{count}: ", drifted, is_bad=is_bad)
    said = drifted_columns(drift.predictions)
    if said:
        is_bad = any(column.column != "confidence" for column in said)
        yield _drift_finding("predictions", "predictions", "predictions drifted: ", said, is_bad=is_bad)
    yield from _embedding_findings(drift)


def _embedding_findings(drift: DriftTable) -> Iterator[Finding]:
    drifted, judged = drifted_columns(drift.embedding), judged_columns(drift.embedding)
    if drifted:
        is_bad = len(drifted) / len(judged) >= drift.dataset_share
        count = f" ({len(drifted)} of {len(judged)} dimensions)"
        words = f"the model's embedding drifted{count}: "
        yield _drift_finding("embedding", "embedding", words, drifted, is_bad=is_bad)
    elif drift.embedding_verdict is Verdict.DRIFTED and drift.vectors is not None:
        text = f"embeddings drifted as a whole (MMD {drift.vectors.statistic or 0.0:.3f}), no dimension by itself"
        yield Finding(area="embedding", section="embedding", severity=Severity.WARN, text=text)


def _drift_finding(area: str, section: str, words: str, drifted: Sequence[ColumnDrift], *, is_bad: bool) -> Finding:
    names = ", ".join(f"{c.column} ({how_moved(c)})" for c in drifted[:NAMED])
    more = f" and {len(drifted) - NAMED} more" if len(drifted) > NAMED else ""
    severity = Severity.BAD if is_bad else Severity.WARN
    return Finding(area=area, section=section, severity=severity, text=words + names + more)


def _estimate_findings(evidence: Evidence) -> Iterator[Finding]:
    found = evidence.estimated
    if found is None or found.expected is None or found.accuracy.value is None or found.accuracy.high is None:
        return
    if _is_judged(evidence.accuracy):
        return  # what is known weighs more than what is estimated
    if found.accuracy.high < found.expected - settings.ACCURACY_MAX_DROP:
        text = f"accuracy is estimated at {found.accuracy.value:.1%}, {found.expected:.1%} was expected"
        yield Finding(area="estimate", section="performance", severity=Severity.WARN, text=text)


def _quality_findings(quality: QualityResult | None) -> Iterator[Finding]:
    if quality is None:
        return
    broken = [f"{f.feature} ({', '.join(f.problems).replace('_', ' ')})" for f in quality.features if f.problems]
    if broken:
        more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        text = f"data quality: {', '.join(broken[:NAMED])}{more}"
        yield Finding(area="quality", section="quality", severity=Severity.WARN, text=text)
    refused = quality.schema_violations
    if refused.value is not None and (refused.low or 0.0) > settings.REPORT_MAX_ERROR_RATE:
        text = f"{refused.value:.1%} of requests did not fit the model's schema"
        yield Finding(area="quality", section="quality", severity=Severity.WARN, text=text)


def _change_findings(changes: Sequence[ChangeEvent]) -> Iterator[Finding]:
    if changes:
        streams = list(dict.fromkeys(change.stream.removeprefix("feature:") for change in changes))
        more = f" and {len(streams) - NAMED} more" if len(streams) > NAMED else ""
        text = f"a change was detected in {', '.join(streams[:NAMED])}{more}"
        yield Finding(area="change", section="changes", severity=Severity.WARN, text=text)


def _alert_findings(alerts: Sequence[FiringAlert]) -> Iterator[Finding]:
    for alert in alerts:
        severity = Severity.BAD if alert.severity == "critical" else Severity.WARN
        if alert.severity != "info":
            text = f"the alert '{alert.rule}' fires since {alert.since:%d %b %H:%M} UTC"
            yield Finding(area="alerts", section="alerts", severity=severity, text=text)


def _gaps(evidence: Evidence) -> Iterator[Gap]:
    accuracy, needed = evidence.accuracy, settings.ACCURACY_MIN_LABELS
    if not evidence.totals.valued and not _is_judged(accuracy):
        missing = needed - accuracy.labelled
        text = f"accuracy needs {needed:,} labels, there are {accuracy.labelled:,}: {missing:,} more"
        yield Gap(area="accuracy", text=text, missing=missing, unit="labels")
    yield from _drift_gaps(evidence.drift)


def _drift_gaps(drift: DriftTable) -> Iterator[Gap]:
    if not drift.has_baseline:
        yield Gap(area="baseline", text=f"no baseline ({drift.reason})")
    elif drift.verdict is Verdict.NOT_ENOUGH_DATA:
        needed, here = settings.DRIFT_MIN_SAMPLES, compared_rows(drift)
        if drift.reason or here >= needed:
            yield Gap(area="drift", text=drift.reason or "the baseline has too few rows to be compared with")
            return
        missing = needed - here
        text = f"drift needs {needed:,} predictions, there are {here:,}: {missing:,} more"
        yield Gap(area="drift", text=text, missing=missing, unit="predictions")


def _praise(evidence: Evidence) -> list[str]:
    totals, accuracy = evidence.totals, evidence.accuracy
    parts = []
    if evidence.drift.verdict is Verdict.OK:
        parts.append("no drift")
    if _is_judged(accuracy) and accuracy.value is not None and accuracy.coverage is not None:
        parts.append(f"accuracy {accuracy.value:.1%} on the {accuracy.coverage:.1%} that is labelled")
    if not parts:
        return []
    errors = f"{totals.errors or 'no'} server error{'' if totals.errors == 1 else 's'}"
    return [f"{errors} in {totals.requests:,} requests", *parts]


def judged_columns(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Return the columns with enough data for a verdict."""
    return [column for column in columns if column.verdict is not Verdict.NOT_ENOUGH_DATA]


def drifted_columns(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Return the columns that drifted, the farthest first."""
    return sorted((c for c in columns if c.verdict is Verdict.DRIFTED), key=how_far, reverse=True)


def how_far(column: ColumnDrift) -> float:
    """Return how far a column has moved: PSI, the one statistic that every kind of column has."""
    return column.statistic("psi") or 0.0


def how_moved(column: ColumnDrift) -> str:
    """Return in words how a column has moved."""
    way = _DIRECTIONS.get(column.direction.value, "")
    return f"{way}, PSI {how_far(column):.2f}" if way else f"PSI {how_far(column):.2f}"


def compared_rows(drift: DriftTable) -> int:
    """Return how many of the period's rows were compared with the baseline, at most over all columns."""
    columns = (*drift.features, *drift.predictions, *drift.embedding)
    return max((test.window_samples for column in columns for test in column.tests), default=0)


def _is_judged(accuracy: Accuracy) -> bool:
    return accuracy.labelled >= settings.ACCURACY_MIN_LABELS
