"""The drift of each column as the page lists it: worst first, with every test and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from monitoring.drift.results import ColumnDrift, TestResult, Verdict
from monitoring.reports.findings import how_far
from monitoring.reports.page_charts import distribution_chart

MAX_DRAWN = 60  # columns with a picture of their distribution; all have their tests
TEST_NAMES = {
    "psi": "Population stability index", "ks": "Kolmogorov-Smirnov", "wasserstein": "Wasserstein, scaled",
    "js": "Jensen-Shannon", "chi2": "Chi-square", "mmd": "Maximum mean discrepancy",
}  # fmt: skip
DIRECTIONS = {
    "": "", "up": "↑ higher", "down": "↓ lower", "shape": "other shape", "new_categories": "new categories",
    "missing": "missing values",
}  # fmt: skip
_TONES = {Verdict.OK: "good", Verdict.DRIFTED: "bad", Verdict.NOT_ENOUGH_DATA: ""}
_RANKS = {Verdict.DRIFTED: 0, Verdict.OK: 1, Verdict.NOT_ENOUGH_DATA: 2}


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """One test of a column."""

    __test__ = False  # not a test case

    name: str
    result: TestResult
    direction: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class DriftRow:
    """One column. `p_value` is what decides: adjusted over all columns where that is known."""

    column: ColumnDrift
    verdict: str
    tone: str
    direction: str
    psi: float | None
    p_value: float | None
    samples: int
    tests: Sequence[TestRow]
    chart: SafeString | str
    is_open: bool


def drift_rows(columns: Sequence[ColumnDrift], *, opened: int = 0) -> list[DriftRow]:
    """Return the columns, drifted ones first; the first `opened` of these show their picture at once."""
    ordered = sorted(columns, key=lambda column: (_RANKS[column.verdict], -how_far(column), column.column))
    return [
        _row(column, is_open=place < opened and column.verdict is Verdict.DRIFTED, is_drawn=place < MAX_DRAWN)
        for place, column in enumerate(ordered)
    ]


def _row(column: ColumnDrift, *, is_open: bool, is_drawn: bool) -> DriftRow:
    p_values = [test.p_value for test in column.tests if test.p_value is not None]
    p_value = column.adjusted_p_value if column.adjusted_p_value is not None else min(p_values, default=None)
    return DriftRow(
        column=column,
        verdict=column.verdict.value,
        tone=_TONES[column.verdict],
        direction=DIRECTIONS[column.direction.value],
        psi=column.statistic("psi"),
        p_value=p_value,
        samples=max((test.window_samples for test in column.tests), default=0),
        tests=[test_row(test) for test in column.tests],
        chart=distribution_chart(column) if is_drawn and column.distribution.bins else "",
        is_open=is_open,
    )


def test_row(test: TestResult) -> TestRow:
    """Return a test as the page shows it."""
    return TestRow(
        name=TEST_NAMES.get(test.test, test.test), result=test, direction=DIRECTIONS[test.direction.value],
        tone=_TONES[test.verdict],
    )  # fmt: skip
