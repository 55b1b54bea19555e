"""A comparison of runs as what its page draws."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString

from aiplatform.console.charts import line_chart
from training.badges import state_badge
from training.comparison import Comparison, Confusion, Row


def comparison_context(comparison: Comparison) -> dict[str, Any]:
    """Return the context of compare_page.html."""
    return {
        "columns": [
            {"run": run, "url": reverse("admin:training_run_change", args=[run.pk]), "badge": state_badge(run)}
            for run in comparison.runs
        ],
        "parameters": [(row.name, [_text(value) for value in row.values]) for row in comparison.parameters],
        "metrics": [(row.name, _marked(row)) for row in comparison.metrics],
        "charts": _charts(comparison),
        "confusions": [_matrix(confusion) for confusion in comparison.confusions],
    }


def _charts(comparison: Comparison) -> list[SafeString]:
    return [
        line_chart(
            title=name.replace("_", " ").capitalize(),
            series={run: [(x, y) for x, y in points] for run, points in runs.items()},
            x_label="epoch",
        )
        for name, runs in comparison.curves.items()
    ]


def _matrix(confusion: Confusion) -> dict[str, Any]:
    """Return rows of cells with the share (percent) of the true class's rows that each holds."""
    rows = []
    for place, counts in enumerate(confusion.matrix):
        total = sum(counts) or 1
        cells = [
            {"count": count, "share": round(100 * count / total), "is_right": column == place}
            for column, count in enumerate(counts)
        ]
        rows.append((confusion.labels[place] if place < len(confusion.labels) else str(place), cells))
    return {"run": confusion.run, "labels": [name for name, _ in rows], "rows": rows}


def _marked(row: Row) -> list[tuple[str, bool]]:
    return [(_text(value), place in row.best) for place, value in enumerate(row.values)]


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
