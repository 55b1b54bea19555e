"""The result of a comparison, and the text that people read of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bar import best_peer, demands
from benchmarks.limit import Limit
from benchmarks.measure import PROTOCOLS, Cell

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that one run found."""

    taken_at: str
    machine: str
    command: str
    engine: str
    limits: Sequence[Limit]
    titles: Mapping[str, str]
    versions: Mapping[str, Mapping[str, str]]
    cells: Sequence[Cell]
    absent: Sequence[str]


def best_cells(cells: Iterable[Cell]) -> list[Cell]:
    """Return one cell for each contender, protocol and number of connections: that of the better round."""
    best: dict[tuple[str, str, int], Cell] = {}
    for cell in cells:
        key = (cell.contender, cell.protocol, cell.connections)
        known = best.get(key)
        if known is None or cell.requests_per_s > known.requests_per_s:
            best[key] = cell
    return list(best.values())


def best_limits(limits: Iterable[Limit]) -> list[Limit]:
    """Return one limit for each number of rows: that of the better round."""
    best: dict[int, Limit] = {}
    for limit in limits:
        known = best.get(limit.rows)
        if known is None or limit.rows_per_s > known.rows_per_s:
            best[limit.rows] = limit
    return list(best.values())


def format_result(result: Result) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"Taken {result.taken_at[:16].replace('T', ' ')} UTC on {result.machine}.",
        f"Command: `{result.command}`. Engine of the peers: {result.engine}.",
        "",
        *_limit_lines(result),
    ]
    for protocol in PROTOCOLS:
        cells = [cell for cell in result.cells if cell.protocol == protocol]
        if cells:
            lines += ["", f"### {PROTOCOLS[protocol].title}", "", *_table(result, cells)]
    return "\n".join([*lines, *_bar_lines(result), "", *_version_lines(result)])


def write_into(page: Path, text: str) -> None:
    """Replace what stands between the page's markers.

    Raises: SystemExit if it has none.
    """
    content = page.read_text()
    if BEGIN not in content or END not in content:
        sys.exit(f"{page} has no markers {BEGIN} and {END}")
    before, _, rest = content.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _limit_lines(result: Result) -> list[str]:
    rows = [f"| {limit.rows} | {limit.rows_per_s:,.0f} | {limit.call_ms:.3f} |" for limit in result.limits]
    return ["| the engine in-process: rows a call | rows/s, all processes | one call, ms |", "|---:|---:|---:|", *rows]


def _table(result: Result, cells: Sequence[Cell]) -> list[str]:
    lines = [
        "| server | connections | requests/s | p50 ms | p99 ms | CPU ms a request | memory MB | errors "
        "| to the best peer | to the engine |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    notes = {}
    for name in result.titles:
        for cell in cells:
            if cell.contender != name:
                continue
            if cell.note:
                notes[result.titles[name]] = cell.note
            else:
                lines.append(_row(result, cell, cells))
    return [*lines, *(["", *(f"{title}: {note}" for title, note in notes.items())] if notes else [])]


def _row(result: Result, cell: Cell, cells: Sequence[Cell]) -> str:
    return (
        f"| {result.titles[cell.contender]} | {cell.connections} | {cell.requests_per_s:,.0f} | {cell.p50_ms:.2f} "
        f"| {cell.p99_ms:.2f} | {cell.cpu_ms_per_request:.3f} | {cell.memory_mb:,.0f} | {cell.errors} "
        f"| {_to_best_peer(cell, cells)} | {_to_engine(result, cell)} |"
    )


def _to_best_peer(cell: Cell, cells: Sequence[Cell]) -> str:
    best = best_peer(cells, cell.connections)
    return f"{cell.requests_per_s / best:.2f}" if best else "-"


def _to_engine(result: Result, cell: Cell) -> str:
    for limit in result.limits:
        if limit.rows == cell.rows and limit.rows_per_s:
            return f"{cell.requests_per_s * cell.rows / limit.rows_per_s:.2f}"
    return "-"


def _bar_lines(result: Result) -> list[str]:
    found = demands(result.cells, result.limits)
    if not found:
        return []
    rows = [
        f"| {demand.text} | {demand.found:.2f} | {'at least' if demand.is_least else 'at most'} {demand.limit:g} "
        f"| {'yes' if demand.is_met else 'no'} |"
        for demand in found
    ]
    return ["", "### What we ask of ourselves", "", "| | found | asked | met |", "|---|---:|---:|---|", *rows]


def _version_lines(result: Result) -> list[str]:
    lines = []
    for name, title in result.titles.items():
        if not result.versions[name]:
            continue
        packages = ", ".join(f"{package} {version}" for package, version in result.versions[name].items())
        lines.append(f"{title}: {packages}.")
    if result.absent:
        lines.append(f"Not installed, left out: {', '.join(result.absent)}.")
    return ["  \n".join(lines)]
