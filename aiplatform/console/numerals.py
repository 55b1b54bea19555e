"""Numbers and moments in few characters, for charts and the tables beside them."""

from __future__ import annotations

from datetime import UTC, datetime

_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number_text(value: float) -> str:
    """Return a number in few characters: 1200 is 1.2k, 0.9512 is 0.951."""
    for limit, suffix in _SUFFIXES:
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3g}"


def share_text(value: float) -> str:
    """Return a share as a percentage: 0.0123 is 1.23%."""
    return f"{0 if abs(value) < 1e-9 else value * 100:.3g}%"


def time_text(moment_s: float, span_s: float) -> str:
    """Return a moment in UTC, as exact as a series that spans so many seconds asks."""
    moment = datetime.fromtimestamp(moment_s, UTC)
    if span_s <= 600:
        return moment.strftime("%H:%M:%S")
    if span_s <= 86_400:
        return moment.strftime("%H:%M")
    return moment.strftime("%d %b %H:%M")
