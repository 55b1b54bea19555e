"""The measures of a report by which versions can be compared: name, value with interval, which way is better."""

from __future__ import annotations

import msgspec

from monitoring.performance.results import ClassificationResult, Estimate, RegressionResult
from monitoring.reports.document import PerformanceReport


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One measure. `is_labelled`: it stands on labels."""

    name: str
    estimate: Estimate
    lower_is_better: bool
    kind: str = "number"
    unit: str = ""
    is_labelled: bool = False


def list_measures(report: PerformanceReport) -> list[Measured]:
    """Return every measure that the report has, service first."""
    latencies = report.latency_estimates_ms.items()
    return [
        Measured(
            name="error rate", estimate=report.traffic.error_rate_estimate, lower_is_better=True, kind="share"
        ),
        *(Measured(name=f"{name} latency", estimate=e, lower_is_better=True, unit="ms") for name, e in latencies),
        *_realised(report),
        *_estimated(report),
    ]  # fmt: skip


def _realised(report: PerformanceReport) -> list[Measured]:
    found = report.performance
    if found is not None and found.classification is not None:
        return _measurable(_classification(found.classification))
    if found is not None and found.regression is not None:
        return _measurable(_regression(found.regression))
    accuracy = report.accuracy
    estimate = Estimate(value=accuracy.value, low=accuracy.low, high=accuracy.high, samples=accuracy.labelled)
    return [] if report.numbers.labelled else [_score("accuracy", estimate, kind="share")]


def _measurable(measures: list[Measured]) -> list[Measured]:
    """Return those that have a value: what a model does not give (scores, say) more labels will not bring."""
    return [measure for measure in measures if measure.estimate.value is not None]


def _classification(found: ClassificationResult) -> list[Measured]:
    return [
        _score("accuracy", found.accuracy, kind="share"),
        _score("precision", found.precision.macro, kind="share"),
        _score("recall", found.recall.macro, kind="share"),
        _score("F1", found.f1.macro, kind="share"),
        _score("ROC AUC", found.roc_auc),
        _loss("log loss", found.log_loss, unit="nats"),
        _loss("calibration error", found.calibration.expected_calibration_error),
    ]


def _regression(found: RegressionResult) -> list[Measured]:
    return [
        _loss("mean absolute error", found.mean_absolute_error),
        _loss("root mean squared error", found.root_mean_squared_error),
        _score("R²", found.r_squared),
    ]


def _estimated(report: PerformanceReport) -> list[Measured]:
    found = report.performance.estimated if report.performance else None
    if found is None or found.accuracy.value is None:
        return []
    return [
        Measured(name="estimated accuracy", estimate=found.accuracy, lower_is_better=False, kind="share")
    ]  # fmt: skip


def _score(name: str, estimate: Estimate, *, kind: str = "number") -> Measured:
    return Measured(name=name, estimate=estimate, lower_is_better=False, kind=kind, is_labelled=True)


def _loss(name: str, estimate: Estimate, *, unit: str = "") -> Measured:
    return Measured(name=name, estimate=estimate, lower_is_better=True, unit=unit, is_labelled=True)
