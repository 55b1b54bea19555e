"""Axes of the charts: where the ticks go and what they say. Pure numbers, no drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

# Steps at which a clock is easy to read, in seconds.
_TIME_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800)  # fmt: skip
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Maps values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def padded_range(values: Sequence[float]) -> tuple[float, float]:
    """Return a range that holds all values, is never empty, and starts at 0 where that wastes little."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if 0 <= low <= 0.6 * high:
        low = 0.0
    if low == high == 0:
        return 0.0, 1.0
    if high - low <= 1e-12 * max(abs(low), abs(high)) or high == low:
        pad = abs(high) * 0.1 or 1.0
        return low - pad, high + pad
    return low, high


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values that enclose the range; steps are 1, 2 or 5 times ten to the n."""
    rough = (high - low) / max(count - 1, 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = magnitude * min((m for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999), default=10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def inner_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round values inside the range."""
    return [tick for tick in nice_ticks(low, high, count) if low <= tick <= high]


def time_ticks(low_s: float, high_s: float, count: int = 6) -> list[float]:
    """Return moments (seconds since the epoch) inside the range at which a clock is easy to read."""
    rough = (high_s - low_s) / max(count, 1)
    step = next((s for s in _TIME_STEPS_S if s >= rough), math.ceil(rough / 604800) * 604800)
    first = math.ceil(low_s / step)
    return [float(index * step) for index in range(first, math.floor(high_s / step) + 1)]


def number_text(value: float) -> str:
    """Return a number in few characters: 1200 is 1.2k, 0.9512 is 0.951."""
    for limit, suffix in _SUFFIXES:
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3g}"


def time_text(moment_s: float, span_s: float) -> str:
    """Return a moment in UTC, as exact as the span of its axis asks."""
    moment = datetime.fromtimestamp(moment_s, UTC)
    if span_s <= 600:
        return moment.strftime("%H:%M:%S")
    if span_s <= 2 * 86400:
        return moment.strftime("%H:%M")
    return moment.strftime("%d %b")
