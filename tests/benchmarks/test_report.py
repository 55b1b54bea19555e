"""The table's ratios and verdicts are those of its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bar import demands
from benchmarks.limit import Limit
from benchmarks.measure import Cell
from benchmarks.report import BEGIN, END, Result, best_cells, format_result, write_into

LIMITS = [Limit(rows=1, rows_per_s=20_000, call_ms=0.1), Limit(rows=32, rows_per_s=40_000, call_ms=1.0)]


def cell(contender: str, protocol: str, connections: int, rate: float, *, p50_ms: float = 1.0) -> Cell:
    """Return a cell."""
    rows = 32 if protocol == "binary-32" else 1
    return Cell(
        contender=contender, protocol=protocol, connections=connections, rows=rows, requests_per_s=rate, p50_ms=p50_ms,
        p99_ms=2 * p50_ms,
    )  # fmt: skip


def result(cells: list[Cell]) -> Result:
    """Return the result of a run with these cells."""
    names = sorted({found.contender for found in cells})
    return Result(
        taken_at="2026-01-02T03:04:05", machine="a machine", command="a command", engine="onnx", limits=LIMITS,
        titles={name: name.title() for name in names}, versions={name: {"p": "1"} for name in names}, cells=cells,
        absent=["kserve"],
    )  # fmt: skip


def test_the_better_round_of_a_cell_counts() -> None:
    found = best_cells([cell("a", "json", 1, 10), cell("a", "json", 1, 20), cell("b", "json", 1, 5)])
    assert [(c.contender, c.requests_per_s) for c in found] == [("a", 20), ("b", 5)]


def test_ratios_are_to_the_best_peer_and_to_the_engine() -> None:
    cells = [cell("ours", "json", 64, 3000), cell("a", "json", 64, 2000), cell("b", "json", 64, 1000)]
    row = next(line for line in format_result(result(cells)).splitlines() if line.startswith("| Ours"))
    assert row.endswith("| 1.50 | 0.15 |")


@pytest.mark.parametrize(("rate", "is_met"), [(2600, True), (2400, False)])
def test_the_demand_beside_the_best_peer_is_judged(rate: float, is_met: bool) -> None:
    cells = [cell("ours", "json", 64, rate), cell("a", "json", 64, 2000)]
    found = next(demand for demand in demands(cells, LIMITS) if "best peer" in demand.text)
    assert found.is_met is is_met


def test_our_own_overhead_is_what_the_engines_call_does_not_explain() -> None:
    found = demands([cell("ours", "binary", 1, 1000, p50_ms=0.35)], LIMITS)
    overhead = next(demand for demand in found if "above the engine" in demand.text)
    assert overhead.found == pytest.approx(0.25)
    assert overhead.is_met


def test_the_gateways_cost_is_taken_from_the_two_ways_in() -> None:
    cells = [cell("ours", "json", 1, 500, p50_ms=2.5), cell("ours-direct", "json", 1, 1000, p50_ms=1.0)]
    found = {demand.text: demand for demand in demands(cells, LIMITS)}
    assert found["json at 1, through the gateway to past it"].found == 0.5
    assert not found["json at 1, p50 that the gateway adds, ms"].is_met


def test_a_protocol_that_failed_has_its_reason_and_no_figure() -> None:
    failed = Cell(contender="a", protocol="grpc", connections=1, note="UNAVAILABLE: nobody listens")
    text = format_result(result([failed, cell("ours", "grpc", 1, 10)]))
    assert "A: UNAVAILABLE: nobody listens" in text
    assert "| A |" not in text
    assert "Not installed, left out: kserve." in text


def test_the_page_keeps_what_stands_around_its_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="no markers"):
        write_into(page, "new")
