"""Metrics of performance as confidences foretell it, with no label needed."""

from __future__ import annotations

from monitoring.models import ServedVersion
from monitoring.performance.results import EstimatedResult
from monitoring.performance.selectors import get_estimate
from monitoring.statistics.question import Measurement, MetricInfo, Question, catalogue

Known = list[tuple[int, EstimatedResult]]


def _known(question: Question) -> tuple[Known, int, str]:
    """Return (version, estimate) of those that have one, how many rows were looked at, and why others have none."""
    found = [(s.version, e) for s, e in _estimates(question)]
    known = [(version, estimate) for version, estimate in found if estimate.accuracy.value is not None]
    reason = next((estimate.reason for _, estimate in found if estimate.reason), "no data")
    return known, max((estimate.samples for _, estimate in found), default=0), reason


def _estimates(question: Question) -> list[tuple[ServedVersion, EstimatedResult]]:
    busy = [question.served(version) for version in question.totals_by_version]
    return [
        (served, question.readings.once(get_estimate, served, question.period, question.readings)) for served in busy
    ]


def _accuracy(question: Question) -> Measurement:
    """Of several versions: each as much as it has rows."""
    known, seen, reason = _known(question)
    if not known:
        return question.answer(None, seen, reason=reason)
    rows = sum(estimate.samples for _, estimate in known)
    value, low, high = (
        sum((getattr(estimate.accuracy, part) or 0.0) * estimate.samples for _, estimate in known) / rows
        for part in ("value", "low", "high")
    )
    return question.answer(value, rows, low=low, high=high, realised=_realised(known))


def _realised(known: Known) -> dict[int, float | None]:
    return {version: estimate.realised.value for version, estimate in known}


def _drop(question: Question) -> Measurement:
    """Of several versions: the greatest."""
    known, seen, reason = _known(question)
    drops = [(estimate.drop, version, estimate) for version, estimate in known if estimate.drop is not None]
    if not drops:
        return question.answer(None, seen, reason=reason if not known else "the accuracy in training is not known")
    drop, version, estimate = max(drops, key=lambda found: (found[0], found[1]))
    expected, accuracy = estimate.expected or 0.0, estimate.accuracy
    return question.answer(
        drop, estimate.samples, version=version, expected=expected, estimated=accuracy.value,
        low=expected - (accuracy.high or 0.0), high=expected - (accuracy.low or 0.0),
        realised=estimate.realised.value, label_coverage=estimate.label_coverage,
    )  # fmt: skip


ESTIMATED = catalogue(
    (MetricInfo(name="estimated_accuracy", unit="share", help="Accuracy that the calibrated confidences foretell"),
     _accuracy),
    (MetricInfo(name="estimated_accuracy_drop", unit="share",
                help="How far the estimated accuracy lies below that in training"), _drop),
)  # fmt: skip
