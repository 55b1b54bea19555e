"""How numbers read on pages: shares as percentages, estimates with their interval, p-values without false digits,
durations in the units that people use.
"""

from __future__ import annotations

from datetime import datetime

from django import template

from aiplatform.console.numerals import number_text, share_text
from monitoring.alerts.durations import duration_text
from monitoring.performance.results import Estimate

register = template.Library()
NOTHING = "-"


@register.filter
def share(value: float | None) -> str:
    """Return a share as a percentage."""
    return NOTHING if value is None else share_text(value)


@register.filter
def number(value: float | None) -> str:
    """Return a number in few characters."""
    return NOTHING if value is None else number_text(float(value))


@register.filter
def count(value: int | None) -> str:
    """Return a whole number with separators."""
    return NOTHING if value is None else f"{value:,}"


@register.filter
def p_value(value: float | None) -> str:
    """Return a p-value; below 0.0001 nobody reads its digits."""
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


@register.filter
def estimate(found: Estimate | None, kind: str = "number") -> str:
    """Return a value with its 95% interval; `kind` is 'number' or 'share'."""
    if found is None or found.value is None:
        return NOTHING
    say = share_text if kind == "share" else number_text
    if found.low is None or found.high is None:
        return say(found.value)
    return f"{say(found.value)} ({say(found.low)} to {say(found.high)})"


@register.filter
def moment(value: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return NOTHING if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


@register.filter
def duration(seconds: float) -> str:
    """Return a duration as people say it: '5 min'."""
    return duration_text(seconds)


@register.filter
def lasted(seconds: float) -> str:
    """Return how long something took, in two units at most: '42 s', '5 min 3 s', '2 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    greater, size, lesser = (whole // 60, 60, 1) if whole < 3600 else (whole // 3600, 3600, 60)
    units = ("min", "s") if whole < 3600 else ("h", "min")
    rest = whole % size // lesser
    return f"{greater} {units[0]}" + (f" {rest} {units[1]}" if rest else "")


@register.filter
def words(value: str) -> str:
    """Return a name as words: 'not_enough_data' is 'not enough data'."""
    return str(value).replace("_", " ")
