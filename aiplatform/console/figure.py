"""The frame that all charts share: caption, legend, grid, axes, thresholds, and the words for no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.utils.safestring import SafeString

from aiplatform.console.scales import Scale, number_text
from aiplatform.console.svg import element, join, words

# Told apart by people with any colour vision; console.css lightens them in the dark.
_PALETTE = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2")
_ALARM = "var(--chart-threshold, #dc2626)"
_FAINT = 0.75
_CHARACTER_PX = 6.2  # of the 11 px font, on average


def colour(index: int) -> str:
    """Return the colour of the n-th series."""
    place = index % len(_PALETTE)
    return f"var(--chart-{place + 1}, {_PALETTE[place]})"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The area inside the axes, in the units of the SVG's viewBox."""

    width: int
    height: int
    has_x_label: bool
    has_y_label: bool
    tilt_room: int = 0  # further units below the axis for tilted category names

    @property
    def left(self) -> float:
        """Return the x of the vertical axis."""
        return 62 if self.has_y_label else 46

    @property
    def right(self) -> float:
        """Return the x where the area ends."""
        return self.width - 14

    @property
    def top(self) -> float:
        """Return the y where the area begins."""
        return 10

    @property
    def bottom(self) -> float:
        """Return the y of the horizontal axis."""
        return self.height - (40 if self.has_x_label else 24) - self.tilt_room

    def slot(self, count: int) -> float:
        """Return the width of one of `count` categories."""
        return (self.right - self.left) / count

    def centre(self, index: int, count: int) -> float:
        """Return the x of the middle of a category."""
        return self.left + (index + 0.5) * self.slot(count)

    def with_room_for(self, names: Sequence[str]) -> Frame:
        """Return a frame whose names do not run into each other: tilted if they are too wide."""
        longest = max(len(shorten(name)) for name in names) * _CHARACTER_PX
        return replace(self, tilt_room=round(longest * 0.55)) if longest > self.slot(len(names)) - 4 else self


def figure(title: str, parts: Sequence[object], names: Sequence[str], *, width: int, height: int) -> SafeString:
    """Return the whole chart: caption, drawing, and a legend if there is more than one series."""
    drawing = element(
        "svg", element("title", title), *parts, role="img", aria_label=title, viewBox=f"0 0 {width} {height}",
        style="width:100%;height:auto;display:block;overflow:visible", font_size=11, font_family="inherit",
    )  # fmt: skip
    caption = element("figcaption", title, class_="chart-title")
    return element("figure", caption, drawing, _legend(names), class_="console-chart", style=f"max-width:{width}px")


def empty_figure(title: str, *, width: int, height: int) -> SafeString:
    """Return the chart's place with the words 'No data yet'."""
    text = words("No data yet", x=width / 2, y=height / 2, anchor="middle", opacity=0.6, font_size=13)
    return figure(title, [text], [], width=width, height=height)


def shorten(text: str, limit: int = 18) -> str:
    """Return a text of at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def horizontal_grid(frame: Frame, y_scale: Scale, ticks: Sequence[float], label: str) -> SafeString:
    """Return the grid with its values at the left, and the vertical axis' name."""
    lines = [
        element("line", x1=frame.left, x2=frame.right, y1=y_scale(tick), y2=y_scale(tick), stroke="currentColor",
                opacity=0.35 if tick == ticks[0] else 0.12)
        for tick in ticks
    ]  # fmt: skip
    texts = [
        words(number_text(tick), x=frame.left - 6, y=y_scale(tick) + 4, anchor="end", opacity=_FAINT) for tick in ticks
    ]
    middle = (frame.top + frame.bottom) / 2
    turn = f"rotate(-90 14 {middle:.0f})"
    name = words(label, x=14, y=middle, anchor="middle", opacity=_FAINT, transform=turn)
    return element("g", *lines, *texts, name if label else "")


def x_axis(frame: Frame, places: Sequence[tuple[float, str]], label: str) -> SafeString:
    """Return the texts under the horizontal axis, and its name."""
    every = max(1, -(-len(places) * 20 // max(int(frame.right - frame.left), 1)))  # names need about 20 units each
    texts = [_x_text(frame, x, text) for index, (x, text) in enumerate(places) if index % every == 0]
    name = words(label, x=(frame.left + frame.right) / 2, y=frame.height - 6, anchor="middle", opacity=_FAINT)
    return element("g", *texts, name if label else "")


def threshold_lines(frame: Frame, y_scale: Scale, thresholds: Mapping[str, float]) -> SafeString:
    """Return a dashed line with its name for each threshold."""
    return element("g", *(_threshold(frame, y_scale(value), name, value) for name, value in thresholds.items()))


def _threshold(frame: Frame, y: float, name: str, value: float) -> SafeString:
    line = element(
        "line", x1=frame.left, x2=frame.right, y1=y, y2=y, stroke=_ALARM, stroke_dasharray="6 4", stroke_width=1.5
    )
    text_y = y - 5 if y - 16 > frame.top else y + 13
    text = f"{name} ({number_text(value)})"
    return line + words(text, x=frame.right - 2, y=text_y, anchor="end", fill=_ALARM, class_="chart-halo")


def _x_text(frame: Frame, x: float, text: str) -> SafeString:
    y = frame.bottom + 16
    turn = f"rotate(-32 {x:.1f} {y - 4:.1f})" if frame.tilt_room else None
    anchor = "end" if turn else "middle"
    return words(shorten(text), x=x, y=y, anchor=anchor, opacity=_FAINT, transform=turn)


def _legend(names: Sequence[str]) -> SafeString | str:
    if len(names) < 2:
        return ""
    swatches = [element("span", class_="chart-swatch", style=f"background:{colour(i)}") for i in range(len(names))]
    keys = [element("span", swatch, name, class_="chart-key") for swatch, name in zip(swatches, names, strict=True)]
    return element("div", join(keys), class_="chart-legend")
