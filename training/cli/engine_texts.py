"""The table of a version's engines for a terminal, and the arguments of `models compile`."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.management.base import CommandParser

from aiplatform.contracts.engines import EngineReport, EngineReports, EngineRow

_TITLES = ("ENGINE", "STATE", "ERROR", "THREADS", "ROWS/S AT 1", "8", "32", "SIZE", "")


def add_compile_arguments(parser: CommandParser) -> None:
    """Declare the arguments of `models compile`."""
    parser.add_argument("model", metavar="NAME[@REF]", help="a model, and a version number or alias; else the newest")
    parser.add_argument("--force", action="store_true", help="compile again though it was done before")
    parser.add_argument("--wait", action="store_true", help="wait for the end")
    parser.add_argument("--timeout", type=float, default=1200.0, help="longest wait, seconds")


def engine_lines(found: EngineReports) -> list[str]:
    """Return how far the compilation is, and a table for each kind of machine."""
    detail = f": {found.detail}" if found.detail else ""
    lines = [f"here ({found.machine or 'unknown'}): {found.state}{detail}"]
    return [*lines, *(line for report in found.reports for line in _report_lines(report))]


def _report_lines(report: EngineReport) -> list[str]:
    if report.problem:
        return [f"machine {report.machine}: {report.problem}"]
    table = [_TITLES, *(_cells(row) for row in report.engines)]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(_TITLES))]
    head = f"machine {report.machine}, {report.created_at}; allowed error {report.tolerance}"
    return [head, *("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)]


def _cells(row: EngineRow) -> Sequence[str]:
    rates = {time.rows: f"{time.rows_per_s:,.0f}" for time in row.times}
    notes = [*(["serves"] if row.is_chosen else []), *(["its own"] if row.is_native else []), row.reason]
    return (
        row.engine,
        row.state,
        "-" if row.max_error is None else f"{row.max_error:.1e}",
        str(row.threads or "-"),
        *(rates.get(rows, "-") for rows in (1, 8, 32)),
        f"{row.size_bytes / 1024:,.0f} KiB" if row.size_bytes else "-",
        ", ".join(filter(None, notes)),
    )
