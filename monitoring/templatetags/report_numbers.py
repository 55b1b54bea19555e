"""How numbers read in reports: shares as percentages, estimates with their interval, p-values without false digits."""

from __future__ import annotations

from datetime import datetime

from django import template

from aiplatform.console.numerals import number_text, share_text
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
def words(value: str) -> str:
    """Return a name as words: 'not_enough_data' is 'not enough data'."""
    return str(value).replace("_", " ")
