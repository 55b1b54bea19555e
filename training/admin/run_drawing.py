"""The moving parts of a run's page as HTML: its head, and its charts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from aiplatform.console.charts import line_chart
from training import selectors
from training.badges import share_done, state_badge
from training.cli.texts import seconds_text
from training.cli.views import phase_text
from training.comparison import epoch_curves
from training.models import Run, RunUsage
from training.resources.reporting import waiting_reason

_GIB = 2**30


def draw_head(run: Run) -> str:
    """Return state, progress, rates and why it failed."""
    progress = run.progress
    return render_to_string(
        "training/run_head.html",
        {
            "run": run,
            "badge": state_badge(run),
            "phase": phase_text(run, waiting_reason(run)),
            "share": share_done(run),
            "progress": progress,
            "left": seconds_text(progress.get("left_s")) if run.is_active and "left_s" in progress else "",
            "took": seconds_text(run.duration_s),
        },
    )


def draw_charts(run: Run) -> str:
    """Return the curves of the metrics, and what the process took of its machine."""
    return render_to_string(
        "training/run_charts.html", {"charts": metric_charts(run), "usage_charts": usage_charts(run)}
    )


def metric_charts(run: Run) -> list[SafeString]:
    """Return one chart for each metric, with its validation beside it."""
    families: dict[str, dict[str, list[tuple[Any, float | None]]]] = {}
    for name, points in epoch_curves([run])[run.pk].items():
        families.setdefault(name.removeprefix("val_"), {})[name] = list(points)
    return [
        line_chart(title=name.replace("_", " ").capitalize(), series=series, x_label="epoch")
        for name, series in families.items()
    ]


def usage_charts(run: Run) -> list[SafeString]:
    """Return charts of cores, memory and GPUs over time, of what was measured."""
    usage = selectors.find_usage(run)
    if usage is None or not usage.points:
        return []
    charts = [_chart("CPU", "cores", _series(usage, "cores", 1))]
    limit = usage.memory_limit_bytes
    has_seen_much = limit and usage.memory_peak_bytes > limit / 3
    charts.append(
        _chart(
            "Memory", "GiB", _series(usage, "memory", 2, unit=_GIB),
            thresholds={"limit": limit / _GIB} if limit and has_seen_much else None,
        )
    )  # fmt: skip
    if any(point[3] is not None for point in usage.points):
        charts.append(_chart("GPU", "share of time", _series(usage, "busy", 3), is_share=True))
    if any(point[4] for point in usage.points):
        charts.append(_chart("GPU memory", "GiB", _series(usage, "memory", 4, unit=_GIB)))
    return charts


def _series(usage: RunUsage, name: str, column: int, *, unit: float = 1) -> dict[str, list[tuple[Any, float | None]]]:
    return {
        name: [
            (datetime.fromtimestamp(point[0], UTC), None if point[column] is None else point[column] / unit)
            for point in usage.points
        ]
    }


def _chart(title: str, unit: str, series: Any, *, thresholds: Any = None, is_share: bool = False) -> SafeString:
    return line_chart(
        title=title, y_label=unit, series=series, x_is_time=True, y_is_share=is_share, thresholds=thresholds
    )
