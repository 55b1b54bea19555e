"""What the tests of a column find, before all columns are judged together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from monitoring.drift.discovery import combine_p_values
from monitoring.drift.results import Direction, TestResult, Verdict


@dataclass(frozen=True, kw_only=True)
class Found:
    """A test's statistic and p-value; None with too little data."""

    test: str
    threshold: float
    baseline_samples: int
    window_samples: int
    is_deciding: bool
    statistic: float | None = None
    p_value: float | None = None

    def with_value(self, statistic: float | None, p_value: float | None) -> Self:
        """Return the same test with what it found."""
        return replace(self, statistic=statistic, p_value=p_value)

    def judge(self, *, is_significant: bool, direction: Direction) -> TestResult:
        """Return the result: drifted if the statistic is as large as its threshold, and no chance."""
        verdict = Verdict.NOT_ENOUGH_DATA
        if self.statistic is not None:
            is_drifted = is_significant and self.statistic >= self.threshold
            verdict = Verdict.DRIFTED if is_drifted else Verdict.OK
        return TestResult(
            test=self.test, statistic=self.statistic, threshold=self.threshold, p_value=self.p_value,
            baseline_samples=self.baseline_samples, window_samples=self.window_samples, verdict=verdict,
            is_deciding=self.is_deciding, direction=direction if verdict is Verdict.DRIFTED else Direction.NONE,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All tests of a column, and which way it has moved if it has."""

    found: tuple[Found, ...]
    direction: Direction

    @property
    def p_value(self) -> float | None:
        """Return the chance of what the tests found together; None with too little data."""
        known = [found.p_value for found in self.found if found.p_value is not None]
        return combine_p_values(sorted(set(known))) if known else None
