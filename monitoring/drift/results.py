"""What a drift test says. Not enough data is a state of its own, never a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The outcome of a test, of a column, of a table."""

    OK = "ok"
    DRIFTED = "drifted"
    NOT_ENOUGH_DATA = "not_enough_data"


@dataclass(frozen=True, kw_only=True)
class DriftLimits:
    """When a statistic is drift: it is as large as its threshold, and hardly chance.

    `significance` is the chance of a false verdict over all tests of one table together.
    """

    psi_threshold: float = 0.2
    ks_threshold: float = 0.2
    significance: float = 0.001
    min_samples: int = 100


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One test of one column. `statistic` and `p_value` are None with too little data."""

    __test__ = False  # not a test case

    test: str  # 'psi' or 'ks'
    statistic: float | None
    threshold: float
    p_value: float | None
    baseline_samples: int
    window_samples: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The shares of baseline and window in the same bins, each adding up to 1."""

    bins: tuple[str, ...] = ()
    baseline: tuple[float, ...] = ()
    window: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """All tests of one feature or output."""

    column: str
    kind: str  # 'numeric' or 'category'
    tests: tuple[TestResult, ...]
    verdict: Verdict
    distribution: Distribution = field(default_factory=Distribution)

    def find_test(self, name: str) -> TestResult | None:
        """Return the result of a test; None if it does not apply to this kind of column."""
        return next((result for result in self.tests if result.test == name), None)

    def statistic(self, name: str) -> float | None:
        """Return the statistic of a test, if there is one."""
        result = self.find_test(name)
        return result.statistic if result else None


@dataclass(frozen=True, kw_only=True)
class DriftTable:
    """All columns of a window against the baseline. `reason` says why there is no verdict."""

    verdict: Verdict
    has_baseline: bool
    reason: str = ""
    features: tuple[ColumnDrift, ...] = ()
    predictions: tuple[ColumnDrift, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return asdict(self)


def combine_verdicts(verdicts: Iterable[Verdict]) -> Verdict:
    """Return drifted if any is, else ok if any is, else not enough data."""
    found = set(verdicts)
    for verdict in (Verdict.DRIFTED, Verdict.OK):
        if verdict in found:
            return verdict
    return Verdict.NOT_ENOUGH_DATA


def judge(statistic: float, threshold: float, p_value: float, significance: float) -> Verdict:
    """Return drifted if the statistic is large and not chance, else ok."""
    return Verdict.DRIFTED if statistic >= threshold and p_value < significance else Verdict.OK
