"""What the comparison's page shows: made of a Comparison alone, for the console's page and the file alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from aiplatform.console.charts import line_chart
from monitoring.reports.compare import ComparedMeasure, Comparison, Difference
from monitoring.reports.html import html_file
from monitoring.reports.page import BAD, GOOD, NEUTRAL, SIGNS, TONES, WARN

_TONES = {
    Difference.BETTER: GOOD, Difference.WORSE: BAD, Difference.SAME: NEUTRAL, Difference.NOT_ENOUGH_DATA: NEUTRAL,
}  # fmt: skip
_SIGNS = {Difference.BETTER: "✓", Difference.WORSE: "✕", Difference.SAME: "=", Difference.NOT_ENOUGH_DATA: "?"}
_FIELDS = {
    "p95 latency": ("latency_p95_ms", "ms", False),
    "Requests that failed": ("error_rate", "share", True),
    "Accuracy": ("accuracy", "share", True),
    "Drift of the worst feature": ("worst_psi", "PSI", False),
}


@dataclass(frozen=True, kw_only=True)
class MeasureRow:
    """One measure with the shape and tone of its verdict."""

    measure: ComparedMeasure
    tone: str
    sign: str


@dataclass(frozen=True, kw_only=True)
class ComparisonView:
    """Everything that the templates need."""

    comparison: Comparison
    tone: str
    sign: str
    sides: Sequence[tuple[str, str, str, str]]  # title, headline, tone, sign
    rows: Sequence[MeasureRow]
    charts: Sequence[SafeString]
    inputs_tone: str


def comparison_view(comparison: Comparison) -> ComparisonView:
    """Return what the templates show."""
    reports = (comparison.first, comparison.second)
    return ComparisonView(
        comparison=comparison,
        tone=_TONES[comparison.verdict],
        sign=_SIGNS[comparison.verdict],
        sides=[(r.title, r.verdict.headline, TONES[r.verdict.health], SIGNS[TONES[r.verdict.health]]) for r in reports],
        rows=[MeasureRow(measure=m, tone=_TONES[m.verdict], sign=_SIGNS[m.verdict]) for m in comparison.measures],
        charts=[_chart(comparison, title, *field) for title, field in _FIELDS.items()],
        inputs_tone=WARN if comparison.same_inputs.value == "drifted" else NEUTRAL,
    )


def comparison_context(comparison: Comparison) -> dict[str, Any]:
    """Return the context of the templates."""
    return {"view": comparison_view(comparison), "comparison": comparison}


def comparison_html(comparison: Comparison) -> str:
    """Return the comparison as one HTML file."""
    first, second = comparison.first, comparison.second
    path = (
        f"/admin/monitoring/report/compare/?endpoint={first.endpoint}&version={first.version}"
        f"&other_endpoint={second.endpoint}&other_version={second.version}"
    )
    body = render_to_string("monitoring/reports/compare_body.html", comparison_context(comparison))
    return html_file(title=f"{first.title} and {second.title}", body=body, path=path)


def _chart(comparison: Comparison, title: str, field: str, y_label: str, is_share: bool) -> SafeString:
    reports = (comparison.first, comparison.second)
    period = comparison.first.period
    return line_chart(
        title=title,
        series={r.title: [(point.start, getattr(point, field)) for point in r.series] for r in reports},
        x_is_time=True, x_label="time, UTC", y_label=y_label, y_is_share=is_share, x_range=(period.start, period.end),
    )  # fmt: skip
