"""Charts of a report's service and predictions."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart
from monitoring.drift.results import ColumnDrift
from monitoring.reports.document import PerformanceReport, RolloutLine

TRAINING, PERIOD = "in training", "this period"
SERIES_WORDS = {
    "latency_p50_ms": "p50", "latency_p95_ms": "p95", "latency_p99_ms": "p99", "throughput_per_s": "predictions",
    "accuracy": "realised", "estimated_accuracy": "estimated", "label_coverage": "labelled",
    "worst_psi": "PSI", "error_rate": "failed",
    "mean_confidence": "mean confidence",
}  # fmt: skip


def service_charts(report: PerformanceReport) -> list[SafeString]:
    """Return latency, traffic and errors over time."""
    if not report.series:
        return []
    return [
        over_time(
            report, "Latency", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", y_label="ms", marks=_marks(report)
        ),
        over_time(report, "Traffic", "throughput_per_s", y_label="predictions per second", marks=_marks(report)),
        over_time(
            report,
            "Requests that failed",
            "error_rate",
            y_label="share",
            is_share=True,
            thresholds={"too many": settings.REPORT_MAX_ERROR_RATE},
        ),
    ]


def drift_over_time(report: PerformanceReport) -> SafeString | str:
    """Return the worst feature's drift over time; nothing if it was never measured."""
    if not any(point.worst_psi is not None for point in report.series):
        return ""
    limit = {"drifted": settings.DRIFT_PSI_THRESHOLD}
    return over_time(report, "Drift of the worst feature", "worst_psi", y_label="PSI", thresholds=limit)


def prediction_charts(report: PerformanceReport) -> list[SafeString]:
    """Return what was predicted, beside what training predicted, and how sure the model was over time."""
    charts = []
    if report.predictions.labels:
        title, y_label = "What was predicted", "share of predictions"
        shares = _label_shares(report)
        charts.append(bar_chart(title=title, series=shares, x_label="label", y_label=y_label, y_is_share=True))
    elif report.predictions.value_quantiles:
        quantiles = {PERIOD: report.predictions.value_quantiles}
        charts.append(bar_chart(title="What was predicted", series=quantiles, x_label="quantile", y_label="value"))
    if any(point.mean_confidence is not None for point in report.series):
        charts.append(
            over_time(report, "Mean confidence", "mean_confidence", y_label="of the predicted label", is_share=True)
        )
    return charts


def over_time(
    report: PerformanceReport,
    title: str,
    *names: str,
    y_label: str,
    is_share: bool = False,
    thresholds: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[str, str]] | None = None,
    marks: Mapping[str, float] | None = None,
) -> SafeString:
    """Return fields of the report's series over time. `bands` names the fields of an interval by their series'."""
    points = report.series
    return line_chart(
        title=title,
        series={SERIES_WORDS[name]: [(point.start, getattr(point, name)) for point in points] for name in names},
        bands={
            SERIES_WORDS[name]: [(point.start, getattr(point, low), getattr(point, high)) for point in points]
            for name, (low, high) in (bands or {}).items()
        },
        x_is_time=True, x_label="time, UTC", y_label=y_label, y_is_share=is_share, thresholds=thresholds, marks=marks,
        x_range=(report.period.start, report.period.end),
    )  # fmt: skip


def distribution_chart(column: ColumnDrift, *, width: int = 560) -> SafeString:
    """Return the baseline's distribution beside the period's."""
    return bar_chart(
        title=f"Distribution of {column.column}", series=column_shares(column), x_label=column.column,
        y_label="share of rows", y_is_share=True, width=width,
    )  # fmt: skip


def column_shares(column: ColumnDrift) -> dict[str, dict[str, float]]:
    """Return the shares by bin, of training and of the period."""
    shown = column.distribution
    return {
        TRAINING: dict(zip(shown.bins, shown.baseline, strict=True)),
        PERIOD: dict(zip(shown.bins, shown.window, strict=True)),
    }


def _label_shares(report: PerformanceReport) -> dict[str, dict[str, float]]:
    column = next((c for c in report.drift.predictions if c.column == "label"), None)
    if column is not None and column.distribution.bins:
        return column_shares(column)
    total = sum(report.predictions.labels.values())
    return {PERIOD: {label: count / total for label, count in report.predictions.labels.items()}}


def _marks(report: PerformanceReport) -> dict[str, float]:
    inside = [line for line in report.rollouts if report.period.start <= line.at <= report.period.end]
    return {_mark_name(line): line.at.timestamp() for line in inside[:5]}


def _mark_name(line: RolloutLine) -> str:
    return line.kind if line.challenger is None else f"version {line.challenger} {line.outcome and line.state}".strip()
