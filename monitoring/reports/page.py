"""Draws the report's page: tiles, charts and tables from a PerformanceReport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart
from monitoring.drift.results import ColumnDrift, TestResult, Verdict
from monitoring.reports.report import PerformanceReport
from monitoring.reports.verdict import Health

PERIODS = {"15 min": 900, "1 hour": 3600, "6 hours": 21_600, "1 day": 86_400, "7 days": 604_800}
LATENCIES = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
MAX_DRAWN = 8  # features with a picture of their distribution; the table holds all
GOOD, WARN, BAD, NEUTRAL = "good", "warn", "bad", ""
_TONES = {Health.WELL: GOOD, Health.NOT_WELL: BAD, Health.NOT_ENOUGH_DATA: WARN, Health.NO_TRAFFIC: NEUTRAL}
_VERDICT_TONES = {Verdict.OK: GOOD, Verdict.DRIFTED: BAD, Verdict.NOT_ENOUGH_DATA: WARN}


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One number with what it is, and a tone if it is good or bad."""

    value: str
    name: str
    tone: str = NEUTRAL


@dataclass(frozen=True, kw_only=True)
class DriftRow:
    """One column in the drift table."""

    column: str
    kind: str
    verdict: str
    tone: str
    psi: TestResult | None
    ks: TestResult | None


def report_context(report: PerformanceReport) -> dict[str, Any]:
    """Return what the page's template shows."""
    return {
        "report": report,
        "tone": _TONES[report.verdict.health],
        "tiles": _tiles(report),
        "charts": _charts(report),
        "drift_rows": [_drift_row(column) for column in (*report.drift.features, *report.drift.predictions)],
        "distributions": _distributions(report),
        "periods": PERIODS,
    }


def percent(share: float | None) -> str:
    """Return a share as text."""
    return "no data" if share is None else f"{share:.1%}"


def _tiles(report: PerformanceReport) -> list[Tile]:
    areas = {finding.area for finding in report.verdict.problems}
    p95 = report.latency_ms["p95"]
    truth = [
        Tile(
            value=percent(report.accuracy.value),
            name=_accuracy_name(report),
            tone=BAD if "accuracy" in areas else NEUTRAL,
        ),
        Tile(value=percent(report.accuracy.coverage), name="of predictions are labelled"),
    ]
    if report.mean_absolute_error is not None:
        truth = [
            Tile(
                value=f"{report.mean_absolute_error:.4g}", name=f"mean absolute error on {report.totals.valued} labels"
            )
        ]
    drifted = [c for c in report.drift.features if c.verdict is Verdict.DRIFTED]
    judged = [c for c in report.drift.features if c.verdict is not Verdict.NOT_ENOUGH_DATA]
    drift = f"{len(drifted)} of {len(judged)}" if judged else "no data"
    return [
        Tile(value=f"{report.totals.rows}", name="predictions"),
        Tile(value=f"{report.totals.rows / report.period.seconds:.3g}/s", name="throughput"),
        Tile(value="no data" if p95 is None else f"{p95:.3g} ms", name="p95 latency"),
        Tile(value=percent(report.error_rate), name="of requests failed", tone=BAD if "errors" in areas else NEUTRAL),
        *truth,
        Tile(value=drift, name="features drifted", tone=BAD if drifted else NEUTRAL),
        Tile(value=percent(report.mean_confidence), name="mean confidence"),
    ]


def _accuracy_name(report: PerformanceReport) -> str:
    if report.accuracy.low is None or report.accuracy.high is None:
        return "accuracy (no labels yet)"
    return f"accuracy ({report.accuracy.low:.0%} to {report.accuracy.high:.0%}, {report.accuracy.labelled} labels)"


def _charts(report: PerformanceReport) -> list[SafeString]:
    points = report.series
    expected = {"in training": report.expected_accuracy} if report.expected_accuracy is not None else {}

    def draw(title: str, *names: str, thresholds: dict[str, float] | None = None) -> SafeString:
        series = {_WORDS[name]: [(point.start, getattr(point, name)) for point in points] for name in names}
        return line_chart(title=title, series=series, x_is_time=True, x_label="UTC", thresholds=thresholds)

    charts = [
        draw("Latency, ms", *LATENCIES),
        draw("Predictions per second", "throughput_per_s"),
        draw("Accuracy and coverage", "accuracy", "label_coverage", thresholds=expected),
        draw("Drift of the worst feature, PSI", "worst_psi", thresholds={"drifted": settings.DRIFT_PSI_THRESHOLD}),
        draw("Share of requests that failed", "error_rate"),
    ]
    if report.predicted_labels:
        charts.append(bar_chart(title="What was predicted", series=_label_shares(report)))
    return charts


_WORDS = {
    "latency_p50_ms": "p50", "latency_p95_ms": "p95", "latency_p99_ms": "p99", "throughput_per_s": "predictions/s",
    "accuracy": "accuracy", "label_coverage": "labelled", "worst_psi": "PSI", "error_rate": "failed",
}  # fmt: skip


def _label_shares(report: PerformanceReport) -> dict[str, dict[str, float]]:
    column = next((c for c in report.drift.predictions if c.column == "label"), None)
    if column is not None:
        return _shares(column)
    total = sum(report.predicted_labels.values())
    return {"this period": {label: count / total for label, count in report.predicted_labels.items()}}


def _shares(column: ColumnDrift) -> dict[str, dict[str, float]]:
    shown = column.distribution
    return {
        "in training": dict(zip(shown.bins, shown.baseline, strict=True)),
        "this period": dict(zip(shown.bins, shown.window, strict=True)),
    }


def _distributions(report: PerformanceReport) -> list[SafeString]:
    columns = [*report.drift.features, *(c for c in report.drift.predictions if c.column != "label")]
    worst_first = sorted(columns, key=lambda column: column.statistic("psi") or 0.0, reverse=True)
    return [
        bar_chart(title=f"{c.column}: {c.verdict.value.replace('_', ' ')}", series=_shares(c), width=480, height=200)
        for c in worst_first[:MAX_DRAWN]
        if c.distribution.bins
    ]


def _drift_row(column: ColumnDrift) -> DriftRow:
    return DriftRow(
        column=column.column,
        kind=column.kind,
        verdict=column.verdict.value.replace("_", " "),
        tone=_VERDICT_TONES[column.verdict],
        psi=column.find_test("psi"),
        ks=column.find_test("ks"),
    )
