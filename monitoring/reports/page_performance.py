"""Performance as the page shows it: measures with intervals, confusion matrix, reliability, segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart
from monitoring.performance.results import (
    CalibrationResult,
    ClassificationResult,
    ClassResult,
    ConfusionMatrix,
    Estimate,
    RegressionResult,
    SegmentResult,
)
from monitoring.reports.document import PerformanceReport
from monitoring.reports.page_charts import SERIES_WORDS, over_time

MAX_CONFUSED = 25  # classes of a drawn matrix; of more the pairs that are confused most are listed
MAX_PAIRS = 15
MAX_SEGMENTS = 12  # of the picture; the table holds all


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure: 'share' reads as a percentage."""

    name: str
    estimate: Estimate
    kind: str = "share"
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """A count of the confusion matrix; `percent` is its share of its true label."""

    count: int
    percent: float
    is_right: bool


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """One true label."""

    label: str
    cells: Sequence[MatrixCell]


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """A true label and what it was taken for."""

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class PerformanceView:
    """All that the section shows; empty parts are left out, `missing` says why there is nothing."""

    missing: str = ""
    over_time: SafeString | str = ""
    coverage: SafeString | str = ""
    measures: Sequence[Measure] = ()
    estimated: Sequence[Measure] = ()
    estimate_reason: str = ""
    matrix_labels: Sequence[str] = ()
    matrix: Sequence[MatrixRow] = ()
    pairs: Sequence[ConfusedPair] = ()
    reliability: SafeString | str = ""
    segments: Sequence[SegmentResult] = ()
    segment_chart: SafeString | str = ""
    segment_kind: str = "share"
    classes: Sequence[ClassResult] = ()


def performance_view(report: PerformanceReport) -> PerformanceView:
    """Return what the section shows."""
    found = report.performance
    classification = found.classification if found else None
    regression = found.regression if found else None
    segments = found.segments if found else ()
    kind = "number" if classification is None and regression is not None else "share"
    matrix = classification.confusion if classification else None
    is_drawn = matrix is not None and len(matrix.labels) <= MAX_CONFUSED
    return PerformanceView(
        missing=_missing(report),
        over_time=_over_time(report),
        coverage=_coverage(report),
        measures=[*_classification(classification), *_regression(regression)],
        estimated=_estimated(report),
        estimate_reason=found.estimated.reason if found else "",
        matrix_labels=matrix.labels if matrix and is_drawn else (),
        matrix=_matrix(matrix) if matrix and is_drawn else (),
        pairs=_pairs(matrix) if matrix and not is_drawn else (),
        reliability=_reliability(classification.calibration) if classification else "",
        segments=segments,
        segment_chart=_segment_chart(segments, kind),
        segment_kind=kind,
        classes=classification.classes if classification else (),
    )


def _missing(report: PerformanceReport) -> str:
    if report.numbers.labelled or report.accuracy.labelled:
        return ""
    if not report.traffic.requests:
        return "There was nothing to label in this period."
    return f"No label has come for this period. Accuracy is judged from {report.accuracy.needed:,} labels on."


def _over_time(report: PerformanceReport) -> SafeString | str:
    """Return realised beside estimated accuracy with 95% intervals, as far as either is known."""
    bands = {"accuracy": ("accuracy_low", "accuracy_high"), "estimated_accuracy": ("estimated_low", "estimated_high")}
    known = [name for name in bands if any(getattr(point, name) is not None for point in report.series)]
    if not known:
        return ""
    expected = {"in training": report.accuracy.expected} if report.accuracy.expected is not None else {}
    title = f"Accuracy, {' and '.join(SERIES_WORDS[name] for name in known)}"
    return over_time(
        report, title, *known, y_label="share of answers right", is_share=True, thresholds=expected,
        bands={name: bands[name] for name in known},
    )  # fmt: skip


def _coverage(report: PerformanceReport) -> SafeString | str:
    if not any(point.label_coverage for point in report.series):
        return ""
    return over_time(report, "How much is labelled", "label_coverage", y_label="share of predictions", is_share=True)


def _classification(found: ClassificationResult | None) -> list[Measure]:
    if found is None:
        return []
    floor = found.calibration.noise_floor
    note = "" if floor is None else f"a calibrated model would show {floor:.3f} on as few labels"
    return [
        Measure(name="Accuracy", estimate=found.accuracy),
        Measure(name="Precision, mean of classes", estimate=found.precision.macro),
        Measure(name="Recall, mean of classes", estimate=found.recall.macro),
        Measure(name="F1, mean of classes", estimate=found.f1.macro),
        Measure(name="F1, weighted", estimate=found.f1.weighted),
        Measure(name="ROC AUC", estimate=found.roc_auc, kind="number"),
        Measure(name="Log loss", estimate=found.log_loss, kind="number", note="nats"),
        Measure(
            name="Calibration error (ECE)",
            estimate=found.calibration.expected_calibration_error,
            kind="number",
            note=note,
        ),
    ]


def _regression(found: RegressionResult | None) -> list[Measure]:
    if found is None:
        return []
    return [
        Measure(name="Mean absolute error", estimate=found.mean_absolute_error, kind="number"),
        Measure(name="Root mean squared error", estimate=found.root_mean_squared_error, kind="number"),
        Measure(name="R²", estimate=found.r_squared, kind="number"),
        Measure(name="Bias (prediction minus truth)", estimate=found.bias, kind="number"),
    ]


def _estimated(report: PerformanceReport) -> list[Measure]:
    found = report.performance.estimated if report.performance else None
    if found is None or found.accuracy.value is None:
        return []
    others = {"Precision": found.precision, "Recall": found.recall, "F1": found.f1, "ROC AUC": found.roc_auc}
    note = "" if found.expected is None else f"{found.expected:.1%} in training"
    return [
        Measure(name="Accuracy", estimate=found.accuracy, note=note),
        *(Measure(name=name, estimate=value) for name, value in others.items() if value is not None),
    ]


def _matrix(found: ConfusionMatrix) -> list[MatrixRow]:
    return [
        MatrixRow(
            label=label,
            cells=[
                MatrixCell(count=count, percent=100 * count / max(1, sum(counts)), is_right=row == column)
                for column, count in enumerate(counts)
            ],
        )
        for row, (label, counts) in enumerate(zip(found.labels, found.counts, strict=True))
    ]


def _pairs(found: ConfusionMatrix) -> list[ConfusedPair]:
    pairs = [
        ConfusedPair(true=found.labels[row], predicted=found.labels[column], count=count, share=count / sum(counts))
        for row, counts in enumerate(found.counts)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(pairs, key=lambda pair: pair.count, reverse=True)[:MAX_PAIRS]


def _reliability(found: CalibrationResult) -> SafeString | str:
    if not found.bins:
        return ""
    return line_chart(
        title="Reliability: how often it is right when it is so sure",
        series={
            "as sure as right": [(0.0, 0.0), (1.0, 1.0)],
            "this period": [(b.mean_confidence, b.accuracy.value) for b in found.bins],
        },
        bands={"this period": [(b.mean_confidence, b.accuracy.low, b.accuracy.high) for b in found.bins]},
        x_label="confidence", y_label="share right", y_is_share=True,
    )  # fmt: skip


def _segment_chart(segments: Sequence[SegmentResult], kind: str) -> SafeString | str:
    shown = [segment for segment in segments if segment.is_worse][:MAX_SEGMENTS]
    if not shown:
        return ""
    names = [f"{segment.feature}: {segment.segment}" for segment in shown]
    intervals = {
        name: (segment.score.low, segment.score.high)
        for name, segment in zip(names, shown, strict=True)
        if segment.score.low is not None and segment.score.high is not None
    }
    return bar_chart(
        title="Segments that do worse than the rest",
        series={
            "segment": {name: segment.score.value for name, segment in zip(names, shown, strict=True)},
            "the rest": {name: segment.rest.value for name, segment in zip(names, shown, strict=True)},
        },
        intervals={"segment": intervals}, x_label="segment", y_is_share=kind == "share",
        y_label="accuracy" if kind == "share" else "mean absolute error",
    )  # fmt: skip
