"""What the report's templates show: made of a PerformanceReport alone, for the console's page and the file alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiplatform.console.numerals import number_text, share_text
from monitoring.reports.document import PerformanceReport
from monitoring.reports.findings import drifted_columns, judged_columns
from monitoring.reports.page_charts import drift_over_time, prediction_charts, service_charts
from monitoring.reports.page_drift import DriftRow, TestRow, drift_rows, test_row
from monitoring.reports.page_performance import PerformanceView, performance_view
from monitoring.reports.verdict import Finding, Health, Severity

PERIODS = {"15 min": 900, "1 hour": 3600, "6 hours": 21_600, "1 day": 86_400, "7 days": 604_800, "30 days": 2_592_000}
WORST = 3  # findings named at the top
GOOD, WARN, BAD, NEUTRAL = "good", "warn", "bad", ""
TONES = {
    Health.WELL: GOOD, Health.WATCH: WARN, Health.NOT_WELL: BAD,
    Health.NOT_ENOUGH_DATA: NEUTRAL, Health.NO_TRAFFIC: NEUTRAL,
}  # fmt: skip
SIGNS = {GOOD: "✓", WARN: "!", BAD: "✕", NEUTRAL: "?"}  # a shape beside the colour


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One number with what it is, and a tone if it is good or bad."""

    value: str
    name: str
    tone: str = NEUTRAL
    section: str = ""


@dataclass(frozen=True, kw_only=True)
class SectionMark:
    """A section in the page's index: its name, and how it is there in a word and a tone."""

    anchor: str
    name: str
    word: str
    tone: str

    @property
    def sign(self) -> str:
        """Return the shape that says the tone without colour."""
        return SIGNS[self.tone]


@dataclass(frozen=True, kw_only=True)
class ReportView:
    """Everything that the templates need."""

    report: PerformanceReport
    tone: str
    sign: str
    health: str
    worst: Sequence[Finding]
    further: Sequence[Finding]
    tiles: Sequence[Tile]
    index: Sequence[SectionMark]
    service_charts: Sequence[str]
    drift_over_time: str
    prediction_charts: Sequence[str]
    features: Sequence[DriftRow]
    outputs: Sequence[DriftRow]
    dimensions: Sequence[DriftRow]
    vectors: TestRow | None
    feature_counts: Sequence[tuple[str, str, int]]
    performance: PerformanceView
    links: dict[str, str] = field(default_factory=dict)


def report_view(report: PerformanceReport, *, links: dict[str, str] | None = None) -> ReportView:
    """Return what the templates show. `links` are the console's addresses, if there is one."""
    verdict, tone = report.verdict, TONES[report.verdict.health]
    features = drift_rows(report.drift.features, opened=2)
    return ReportView(
        report=report,
        tone=tone,
        sign=SIGNS[tone],
        health=verdict.health.words,
        worst=verdict.problems[:WORST],
        further=verdict.problems[WORST:],
        tiles=_tiles(report),
        index=_index(report),
        service_charts=service_charts(report),
        drift_over_time=drift_over_time(report),
        prediction_charts=prediction_charts(report),
        features=features,
        outputs=drift_rows(report.drift.predictions),
        dimensions=drift_rows(report.drift.embedding),
        vectors=None if report.drift.vectors is None else test_row(report.drift.vectors),
        feature_counts=_feature_counts(features),
        performance=performance_view(report),
        links=links or {},
    )


def percent(share: float | None) -> str:
    """Return a share as text."""
    return "no data" if share is None else share_text(share)


def _tiles(report: PerformanceReport) -> list[Tile]:
    areas = {finding.area: BAD if finding.severity is Severity.BAD else WARN for finding in report.verdict.problems}
    traffic, p95 = report.traffic, report.latency_ms["p95"]
    judged, drifted = judged_columns(report.drift.features), drifted_columns(report.drift.features)
    drift = f"{len(drifted)} of {len(judged)}" if judged else "no data"
    return [
        Tile(value=f"{traffic.predictions:,}", name="predictions", section="service"),
        Tile(value=f"{number_text(traffic.throughput_per_s)}/s", name="throughput", section="service"),
        Tile(value="no data" if p95 is None else f"{number_text(p95)} ms", name="p95 latency", section="service"),
        Tile(
            value=percent(traffic.error_rate), name="of requests failed", tone=areas.get("errors", NEUTRAL),
            section="service",
        ),
        *_truth_tiles(report, areas),
        Tile(value=drift, name="features drifted", tone=areas.get("drift", NEUTRAL), section="drift"),
        Tile(value=percent(report.predictions.mean_confidence), name="mean confidence", section="predictions"),
    ]  # fmt: skip


def _truth_tiles(report: PerformanceReport, areas: dict[str, str]) -> list[Tile]:
    numbers, accuracy = report.numbers, report.accuracy
    if numbers.mean_absolute_error is not None:
        name = f"mean absolute error on {numbers.labelled:,} labels"
        return [Tile(value=number_text(numbers.mean_absolute_error), name=name, section="performance")]
    name = "accuracy (no labels yet)"
    if accuracy.low is not None and accuracy.high is not None:
        name = f"accuracy ({accuracy.low:.0%} to {accuracy.high:.0%}, {accuracy.labelled:,} labels)"
    tiles = [
        Tile(value=percent(accuracy.value), name=name, tone=areas.get("accuracy", NEUTRAL), section="performance"),
        Tile(value=percent(accuracy.coverage), name="of predictions are labelled", section="performance"),
    ]
    estimated = report.performance.estimated if report.performance else None
    if estimated is not None and estimated.accuracy.value is not None:
        tone = areas.get("estimate", NEUTRAL)
        tiles.append(
            Tile(value=percent(estimated.accuracy.value), name="estimated accuracy", tone=tone, section="performance")
        )
    return tiles


def _index(report: PerformanceReport) -> list[SectionMark]:
    gaps = {gap.area for gap in report.verdict.gaps}
    no_drift = bool({"baseline", "drift"} & gaps)
    known = {
        "service": bool(report.traffic.requests),
        "drift": not no_drift and bool(report.drift.features),
        "predictions": not no_drift and bool(report.drift.predictions),
        **({"embedding": not no_drift} if report.drift.embedding else {}),
        "performance": "accuracy" not in gaps and bool(report.accuracy.labelled or report.numbers.labelled),
        "quality": report.quality is not None and bool(report.quality.rows),
        "changes": bool(report.traffic.requests),
        "alerts": True,
        "rollouts": True,
        "lineage": report.lineage.lineage is not None,
    }
    return [_mark(anchor, report, is_known) for anchor, is_known in known.items()]


def _mark(anchor: str, report: PerformanceReport, is_known: bool) -> SectionMark:
    found = [finding.severity for finding in report.verdict.problems if finding.section == anchor]
    name = anchor.capitalize()
    if Severity.BAD in found:
        return SectionMark(anchor=anchor, name=name, word="not well", tone=BAD)
    if found:
        return SectionMark(anchor=anchor, name=name, word="worth a look", tone=WARN)
    if not is_known:
        return SectionMark(anchor=anchor, name=name, word="not known", tone=NEUTRAL)
    quiet = {
        "alerts": f"{len(report.alerts)} in the period" if report.alerts else "none",
        "rollouts": str(len(report.rollouts)) if report.rollouts else "none",
        "lineage": "known",
    }
    return SectionMark(anchor=anchor, name=name, word=quiet.get(anchor, "well"), tone=GOOD)


def _feature_counts(features: Sequence[DriftRow]) -> list[tuple[str, str, int]]:
    names = {"": "All", "drifted": "Drifted", "ok": "Not drifted", "not_enough_data": "Not enough data"}
    return [
        (verdict, name, sum(1 for row in features if verdict in ("", row.verdict))) for verdict, name in names.items()
    ]


def report_context(report: PerformanceReport, *, links: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the context of the templates."""
    return {"view": report_view(report, links=links), "report": report, "periods": PERIODS}
