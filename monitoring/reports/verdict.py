"""Says in one line whether a version is well, and where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from monitoring.accuracy import Accuracy
from monitoring.drift.results import ColumnDrift, DriftTable, Verdict
from monitoring.selectors import Totals


class Health(StrEnum):
    """The outcome of a report."""

    WELL = "well"
    NOT_WELL = "not_well"
    NOT_ENOUGH_DATA = "not_enough_data"
    NO_TRAFFIC = "no_traffic"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not well, or not known. `area`: errors, accuracy, drift, predictions or baseline."""

    area: str
    text: str


@dataclass(frozen=True, kw_only=True)
class HealthVerdict:
    """The verdict with what speaks against it (`problems`) and what is not known (`gaps`)."""

    health: Health
    text: str
    problems: tuple[Finding, ...] = ()
    gaps: tuple[Finding, ...] = ()


def judge_health(
    totals: Totals, accuracy: Accuracy, expected_accuracy: float | None, drift: DriftTable, *, when: str = ""
) -> HealthVerdict:
    """Return the verdict. `expected_accuracy` is the trainer's own on data held back, if known.

    `when` is put into the text of a bad verdict.
    """
    if not totals.requests:
        return HealthVerdict(health=Health.NO_TRAFFIC, text="No traffic in this period.")
    problems = (*_error_problems(totals), *_accuracy_problems(accuracy, expected_accuracy), *_drift_problems(drift))
    gaps = (*_accuracy_gaps(accuracy, totals), *_drift_gaps(drift))
    if problems:
        text = " ".join(["Not well", when]).strip() + ": " + "; ".join(finding.text for finding in problems) + "."
        return HealthVerdict(health=Health.NOT_WELL, text=text, problems=problems, gaps=gaps)
    if drift.verdict is Verdict.NOT_ENOUGH_DATA and accuracy.labelled < settings.ACCURACY_MIN_LABELS:
        text = "Not enough data to judge: " + "; ".join(finding.text for finding in gaps) + "."
        return HealthVerdict(health=Health.NOT_ENOUGH_DATA, text=text, gaps=gaps)
    return HealthVerdict(health=Health.WELL, text=_praise(totals, accuracy, drift), gaps=gaps)


def _error_problems(totals: Totals) -> list[Finding]:
    rate = totals.errors / totals.requests
    if rate <= settings.REPORT_MAX_ERROR_RATE:
        return []
    return [Finding(area="errors", text=f"{rate:.1%} of {totals.requests} requests failed")]


def _accuracy_problems(accuracy: Accuracy, expected: float | None) -> list[Finding]:
    if expected is None or accuracy.value is None or accuracy.high is None:
        return []
    if accuracy.labelled < settings.ACCURACY_MIN_LABELS or accuracy.high >= expected - settings.ACCURACY_MAX_DROP:
        return []
    text = f"accuracy is {accuracy.value:.1%} on {accuracy.labelled} labels, {expected:.1%} was expected"
    return [Finding(area="accuracy", text=text)]


def _drift_problems(drift: DriftTable) -> list[Finding]:
    groups = (("drift", "drifted: ", drift.features), ("predictions", "predictions drifted: ", drift.predictions))
    findings = []
    for area, words, columns in groups:
        drifted = sorted((c for c in columns if c.verdict is Verdict.DRIFTED), key=_psi, reverse=True)
        if drifted:
            names = ", ".join(f"{c.column} (PSI {_psi(c):.2f})" for c in drifted[:4])
            more = f" and {len(drifted) - 4} more" if len(drifted) > 4 else ""
            findings.append(Finding(area=area, text=words + names + more))
    return findings


def _psi(column: ColumnDrift) -> float:
    return column.statistic("psi") or 0.0


def _accuracy_gaps(accuracy: Accuracy, totals: Totals) -> list[Finding]:
    if totals.valued or accuracy.labelled >= settings.ACCURACY_MIN_LABELS:
        return []
    return [Finding(area="accuracy", text=f"{accuracy.labelled} labels, accuracy needs {settings.ACCURACY_MIN_LABELS}")]


def _drift_gaps(drift: DriftTable) -> list[Finding]:
    if not drift.has_baseline:
        return [Finding(area="baseline", text=f"no baseline ({drift.reason})")]
    if drift.verdict is Verdict.NOT_ENOUGH_DATA:
        return [Finding(area="drift", text=drift.reason or f"drift needs {settings.DRIFT_MIN_SAMPLES} predictions")]
    return []


def _praise(totals: Totals, accuracy: Accuracy, drift: DriftTable) -> str:
    parts = [f"{totals.errors or 'no'} server errors in {totals.requests} requests"]
    if drift.verdict is Verdict.OK:
        parts.append("no drift")
    if accuracy.value is not None and accuracy.coverage is not None:
        parts.append(f"accuracy {accuracy.value:.1%} on the {accuracy.coverage:.1%} that is labelled")
    return "Well: " + ", ".join(parts) + "."
