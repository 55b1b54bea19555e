"""One watched stream with its two detectors: a value for each closed window, of rows that may be few or many."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from monitoring.performance.detectors.adwin import Adwin, Change
from monitoring.performance.detectors.page_hinkley import PageHinkley

ADWIN, PAGE_HINKLEY = "adwin", "page_hinkley"
MIN_ROWS = 30  # a window with fewer rows is added to the next
LEAST_DEVIATION = 0.1  # of single rows: a smaller change of a mean is none, however many rows there are
SPAN = 5.0  # ADWIN takes values from 0 to 1; that is -5 to 5 deviations of a feature
WARM_UP = 5  # windows from which a feature's level and spread are taken
LONGEST_MEMORY_ROWS = 1e6  # the mean so far never weighs more: very slow changes are the drift tests' business


@dataclass(frozen=True)
class WindowValue:
    """What one closed window says of a stream: rows, their sum, their sum of squares."""

    rows: int
    total: float
    squares: float

    def plus(self, other: WindowValue) -> WindowValue:
        """Return both as one."""
        return WindowValue(self.rows + other.rows, self.total + other.total, self.squares + other.squares)


@dataclass
class Stream:
    """The memory of a stream: what waits for more rows, its first level and spread, and the detectors."""

    is_share: bool  # values are 0 or 1, as of accuracy
    waiting: WindowValue = WindowValue(0, 0.0, 0.0)
    first: WindowValue = WindowValue(0, 0.0, 0.0)
    windows: int = 0
    level: float = 0.0  # of the first windows
    spread: float = 0.0
    adwin: Adwin = field(default_factory=Adwin)
    page_hinkley: PageHinkley = field(default_factory=PageHinkley)

    def update(self, window: WindowValue) -> dict[str, Change]:
        """Take the next closed window; return the changes that were seen, by detector."""
        self.waiting = self.waiting.plus(window)
        if self.waiting.rows < MIN_ROWS:
            return {}
        if self.windows < WARM_UP and not self.is_share:
            self._warm_up()
            return {}
        rows, mean, deviation = _describe(self.waiting)
        self.waiting = WindowValue(0, 0.0, 0.0)
        # As many independent rows as give a mean whose deviation is never below LEAST_DEVIATION of a row's.
        weight = 1 / (1 / rows + LEAST_DEVIATION**2)
        value, scaled = self._scale(mean, deviation)
        unit = self._row_deviation() / math.sqrt(weight)
        found = {
            ADWIN: self.adwin.update(value, count=weight, variance=scaled**2, raw=mean),
            PAGE_HINKLEY: self.page_hinkley.update(mean, deviation=unit, weight=float(rows)),
        }
        self.page_hinkley.weight = min(self.page_hinkley.weight, LONGEST_MEMORY_ROWS)
        return {name: change for name, change in found.items() if change is not None}

    def _warm_up(self) -> None:
        self.first, self.windows = self.first.plus(self.waiting), self.windows + 1
        self.waiting = WindowValue(0, 0.0, 0.0)
        _, self.level, self.spread = _describe(self.first)

    def _scale(self, mean: float, deviation: float) -> tuple[float, float]:
        """Return both as ADWIN takes them: 0 to 1."""
        if self.is_share:
            return mean, deviation
        width = 2 * SPAN * self._row_deviation()
        value = (mean - self.level) / width + 0.5
        return min(1.0, max(0.0, value)), min(0.5, deviation / width)

    def _row_deviation(self) -> float:
        """Return the deviation of single rows without a change."""
        if self.is_share:
            known = self.page_hinkley
            right = known.mean * known.weight
            share = (right + 1) / (known.weight + 2)  # never 0 or 1 (Laplace)
            return math.sqrt(share * (1 - share))
        return self.spread or 1e-9 * max(1.0, abs(self.level))

    def to_dict(self) -> dict[str, Any]:
        """Return what is remembered, JSON-ready."""
        return {
            "waiting": [self.waiting.rows, self.waiting.total, self.waiting.squares],
            "first": [self.first.rows, self.first.total, self.first.squares],
            "windows": self.windows,
            "level": self.level,
            "spread": self.spread,
            ADWIN: self.adwin.to_list(),
            PAGE_HINKLEY: self.page_hinkley.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], *, is_share: bool) -> Stream:
        """Rebuild from `to_dict`; an empty one is a new stream."""
        if not state:
            return cls(is_share=is_share)
        return cls(
            is_share=is_share,
            waiting=WindowValue(*state["waiting"]),
            first=WindowValue(*state["first"]),
            windows=state["windows"],
            level=state["level"],
            spread=state["spread"],
            adwin=Adwin.from_list(state[ADWIN]),
            page_hinkley=PageHinkley.from_dict(state[PAGE_HINKLEY]),
        )


def _describe(value: WindowValue) -> tuple[int, float, float]:
    """Return rows, mean and deviation."""
    mean = value.total / value.rows
    return value.rows, mean, math.sqrt(max(0.0, value.squares / value.rows - mean * mean))
