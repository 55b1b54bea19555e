"""Metrics of realised performance beyond accuracy, on the labelled predictions."""

from __future__ import annotations

from collections.abc import Callable

from monitoring.performance.classification import measure_classification
from monitoring.performance.counts import Counts
from monitoring.performance.regression import measure_regression
from monitoring.performance.results import ClassificationResult, Estimate, RegressionResult
from monitoring.performance.selectors import get_counts
from monitoring.statistics.question import Answer, Measurement, MetricInfo, Question, catalogue


def _answer(question: Question, found: Estimate) -> Measurement:
    if found.value is None and found.samples:
        return question.answer(None, found.samples, reason="not enough data")
    return question.answer(found.value, found.samples, low=found.low, high=found.high)


def _counts(question: Question) -> Counts:
    return question.readings.once(get_counts, question.endpoint, question.version, question.period)


def _classification(choose: Callable[[ClassificationResult], Estimate]) -> Answer:
    def answer(question: Question) -> Measurement:
        found = measure_classification(_counts(question))
        return _answer(question, choose(found) if found else Estimate())

    return answer


def _regression(choose: Callable[[RegressionResult], Estimate]) -> Answer:
    def answer(question: Question) -> Measurement:
        found = measure_regression(_counts(question))
        return _answer(question, choose(found) if found else Estimate())

    return answer


REALISED = catalogue(
    (MetricInfo(name="precision", unit="share", help="Mean over classes of how often a label that was said is true"),
     _classification(lambda found: found.precision.macro)),
    (MetricInfo(name="recall", unit="share", help="Mean over classes of how often a true label was said"),
     _classification(lambda found: found.recall.macro)),
    (MetricInfo(name="f1", unit="share", help="Mean over classes of the harmonic mean of precision and recall"),
     _classification(lambda found: found.f1.macro)),
    (MetricInfo(name="f1_weighted", unit="share", help="The same, classes weighted by how often they are true"),
     _classification(lambda found: found.f1.weighted)),
    (MetricInfo(name="roc_auc", unit="share", help="Area under the ROC curve, one class against the rest"),
     _classification(lambda found: found.roc_auc)),
    (MetricInfo(name="log_loss", unit="nats", help="Mean of -ln of the true class's probability"),
     _classification(lambda found: found.log_loss)),
    (MetricInfo(name="calibration_error", unit="share", help="Expected distance of confidence and accuracy"),
     _classification(lambda found: found.calibration.expected_calibration_error)),
    (MetricInfo(name="mean_absolute_error", unit="", help="Mean distance of predicted numbers from the truth"),
     _regression(lambda found: found.mean_absolute_error)),
    (MetricInfo(name="root_mean_squared_error", unit="", help="Root of the mean squared error of predicted numbers"),
     _regression(lambda found: found.root_mean_squared_error)),
    (MetricInfo(name="r_squared", unit="share", help="Share of the truth's variance that predicted numbers explain"),
     _regression(lambda found: found.r_squared)),
    (MetricInfo(name="bias", unit="", help="Mean of predicted number minus truth"),
     _regression(lambda found: found.bias)),
)  # fmt: skip
