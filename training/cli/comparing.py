"""A comparison of runs as tables for a terminal, and as a record for scripts and the REST API."""

from __future__ import annotations

from typing import Any, TextIO

from training.cli.tables import write_table
from training.comparison import Comparison, Row

BEST_MARK = "*"


def write_comparison(out: TextIO, comparison: Comparison) -> None:
    """Write what differs and what was reached; the best value of a metric has a star."""
    runs = [run.short_id for run in comparison.runs]
    write_table(out, ("", *runs), [("state", *(run.state for run in comparison.runs))])
    out.write("\nParameters that differ\n" if comparison.parameters else "\nNo parameter differs.\n")
    if comparison.parameters:
        write_table(out, ("PARAMETER", *runs), [(row.name, *map(_text, row.values)) for row in comparison.parameters])
    out.write("\nMetrics\n")
    write_table(out, ("METRIC", *runs), [(row.name, *_marked(row)) for row in comparison.metrics])


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; what a list holds is in the order of `runs`."""
    return {
        "runs": [
            {"id": str(run.pk), "short_id": run.short_id, "state": run.state, "tags": run.tag_names, "notes": run.notes}
            for run in comparison.runs
        ],
        "parameters": {row.name: list(row.values) for row in comparison.parameters},
        "metrics": {row.name: {"values": list(row.values), "best": list(row.best)} for row in comparison.metrics},
        "curves": comparison.curves,
        "confusion_matrices": {
            confusion.run.short_id: {
                "labels": list(confusion.labels),
                "counts": [list(row) for row in confusion.matrix],
            }
            for confusion in comparison.confusions
        },
    }


def _marked(row: Row) -> list[str]:
    return [f"{_text(value)}{BEST_MARK if place in row.best else ''}" for place, value in enumerate(row.values)]


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
