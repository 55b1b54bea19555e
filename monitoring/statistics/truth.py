"""Metrics of the truth as far as it is known, and of how sure the model is."""

from __future__ import annotations

from monitoring.accuracy import realised_accuracy
from monitoring.statistics.question import Measurement, MetricInfo, Question, catalogue


def _accuracy(question: Question) -> Measurement:
    totals = question.totals
    found = realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows)
    return question.answer(found.value, found.labelled, low=found.low, high=found.high, coverage=found.coverage)


def _coverage(question: Question) -> Measurement:
    totals = question.totals
    labelled = totals.labelled + totals.valued
    return question.answer(min(1.0, labelled / totals.rows) if totals.rows else None, totals.rows, labelled=labelled)


def _confidence(question: Question) -> Measurement:
    totals = question.totals
    mean = totals.confidence_sum / totals.confidence_count if totals.confidence_count else None
    return question.answer(mean, totals.confidence_count)


TRUTH = catalogue(
    (MetricInfo(name="accuracy", unit="share", help="Share of labelled predictions that were right"), _accuracy),
    (MetricInfo(name="label_coverage", unit="share", help="Share of predictions whose truth is known"), _coverage),
    (MetricInfo(name="mean_confidence", unit="share", help="Mean confidence of the predicted label"), _confidence),
)
