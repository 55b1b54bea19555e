"""The bars of a bar chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.safestring import SafeString

from aiplatform.console.figure import Frame, colour
from aiplatform.console.scales import Scale, number_text
from aiplatform.console.svg import element, words

_VALUES_UP_TO = 16  # bars that carry their value above them


def draw_bars(
    frame: Frame, y_scale: Scale, categories: Sequence[str], series: Mapping[str, Mapping[str, float | None]]
) -> SafeString:
    """Return one bar for each known value, beside each other within their category."""
    thickness = min(frame.slot(len(categories)) * 0.8 / len(series), 64)
    has_values = len(categories) * len(series) <= _VALUES_UP_TO
    drawn: list[SafeString] = []
    for place, category in enumerate(categories):
        left = frame.centre(place, len(categories)) - thickness * len(series) / 2
        for index, (name, bars) in enumerate(series.items()):
            value = bars.get(category)
            if value is not None:
                spoken = f"{name}, {category}: {number_text(value)}"
                drawn.append(_bar(left + index * thickness, thickness, y_scale, value, index, spoken))
                if has_values:
                    drawn.append(_value(left + (index + 0.5) * thickness, y_scale, value))
    return element("g", *drawn)


def _bar(x: float, thickness: float, y_scale: Scale, value: float, index: int, spoken: str) -> SafeString:
    zero, tip = y_scale(0), y_scale(value)
    gap = min(1.5, thickness * 0.1)
    return element(
        "rect", element("title", spoken), x=x + gap, width=max(thickness - 2 * gap, 0.5), y=min(zero, tip),
        height=max(abs(zero - tip), 0.5), rx=min(2.0, thickness / 4), fill=colour(index),
    )  # fmt: skip


def _value(x: float, y_scale: Scale, value: float) -> SafeString:
    y = y_scale(value) - 4 if value >= 0 else y_scale(value) + 12
    return words(number_text(value), x=x, y=y, anchor="middle", font_size=10, class_="chart-halo")
