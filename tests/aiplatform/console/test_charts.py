"""Charts: what is drawn, what is left out, what cannot break out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart, sparkline
from aiplatform.console.scales import Scale, inner_ticks, nice_ticks, number_text, padded_range, time_text, time_ticks


def parse(chart: SafeString) -> ElementTree.Element:
    """Return the chart as XML, which it must be."""
    return ElementTree.fromstring(str(chart))


def path_lines(chart: SafeString) -> list[str]:
    return [str(path.get("d")) for path in parse(chart).iter("path")]


def texts(chart: SafeString) -> list[str]:
    return ["".join(text.itertext()) for text in parse(chart).iter("text")]


def test_a_missing_value_is_a_gap_in_the_line() -> None:
    chart = line_chart(title="t", series={"a": [(0, 1.0), (1, 2.0), (2, None), (3, 4.0), (4, 5.0)]})
    assert len(path_lines(chart)) == 2


def test_a_point_between_gaps_is_still_drawn_as_a_dot() -> None:
    points = [(float(x), 1.0 if x == 50 else None) for x in range(100)]
    [circle] = list(parse(line_chart(title="t", series={"a": points})).iter("circle"))
    assert circle.get("fill-opacity") is None


def test_labels_cannot_break_out_of_the_chart() -> None:
    evil = '<script>alert("x")</script>'
    for chart in (
        line_chart(title=evil, series={evil: [(0, 1.0)], "b": [(1, 2.0)]}, x_label=evil, thresholds={evil: 1.0}),
        bar_chart(title=evil, series={evil: {evil: 1.0}}, y_label=evil),
        sparkline([1, 2], label=evil),
    ):
        assert "<script" not in chart
        assert evil[:8] in "".join(parse(chart).itertext())


def test_the_chart_says_its_title_to_those_who_cannot_see_it() -> None:
    svg = next(parse(line_chart(title="Loss", series={"a": [(0, 1.0)]})).iter("svg"))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Loss"
    assert "a: 1 at 0" in line_chart(title="Loss", series={"a": [(0, 1.0)]})


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, None)]}])
def test_a_chart_without_values_says_so(series: dict[str, list[tuple[float, float | None]]]) -> None:
    assert texts(line_chart(title="t", series=series)) == ["No data yet"]


def test_a_bar_chart_without_values_says_so() -> None:
    assert texts(bar_chart(title="t", series={"a": {"x": None}})) == ["No data yet"]


def test_time_is_shown_as_a_clock_in_utc() -> None:
    start = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
    chart = line_chart(
        title="t", series={"a": [(start + timedelta(minutes=m), 1.0 * m) for m in range(61)]}, x_is_time=True
    )
    assert "10:30" in texts(chart)


def test_seconds_since_the_epoch_and_datetimes_are_the_same_time() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    by_datetime = line_chart(
        title="t", series={"a": [(moment, 1.0), (moment + timedelta(hours=1), 2.0)]}, x_is_time=True
    )
    seconds = moment.timestamp()
    by_number = line_chart(title="t", series={"a": [(seconds, 1.0), (seconds + 3600, 2.0)]}, x_is_time=True)
    assert by_datetime == by_number


def test_a_threshold_is_inside_the_picture_even_above_all_values() -> None:
    chart = line_chart(title="t", series={"a": [(0, 1.0), (1, 1.1)]}, thresholds={"limit": 9.0})
    dashed = [line for line in parse(chart).iter("line") if line.get("stroke-dasharray")]
    assert len(dashed) == 1
    assert 0 <= float(str(dashed[0].get("y1"))) <= 220
    assert "limit (9)" in texts(chart)


def test_bars_grow_from_zero_with_their_values() -> None:
    bars = list(parse(bar_chart(title="t", series={"a": {"x": 1.0, "y": 2.0, "z": None}})).iter("rect"))
    heights = [float(str(bar.get("height"))) for bar in bars]
    assert len(bars) == 2
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)


def test_a_negative_bar_hangs_below_zero() -> None:
    up, down = parse(bar_chart(title="t", series={"a": {"x": 1.0, "y": -1.0}})).iter("rect")
    assert float(str(up.get("y"))) < float(str(down.get("y")))


def test_many_long_categories_are_tilted_and_thinned_out() -> None:
    chart = bar_chart(title="t", series={"a": {f"a_rather_long_feature_{i}": 1.0 for i in range(200)}})
    names = [text for text in texts(chart) if text.startswith("a_rather")]
    assert 5 < len(names) < 60
    assert all(len(name) <= 18 for name in names)


def test_only_several_series_have_a_legend() -> None:
    one = line_chart(title="t", series={"a": [(0, 1.0)]})
    two = line_chart(title="t", series={"a": [(0, 1.0)], "b": [(0, 2.0)]})
    assert "chart-legend" not in one
    assert "chart-legend" in two


def test_every_number_in_a_chart_is_finite() -> None:
    for values in ([0.0], [0.0, 0.0], [-5.0], [1e-12, 2e-12], [1e15, 2e15], [3.0, 3.0, 3.0]):
        chart = line_chart(title="t", series={"a": [(i, v) for i, v in enumerate(values)]})
        assert not re.search(r"nan|inf", str(chart), re.IGNORECASE)


def test_a_sparkline_speaks_its_last_value() -> None:
    assert parse(sparkline([1, None, 3.5], label="accuracy")).get("aria-label") == "accuracy: 3.5"
    assert parse(sparkline([])).get("aria-label") == "no data"


def test_ticks_are_round_and_enclose_the_range() -> None:
    assert nice_ticks(0, 1, 5) == pytest.approx([0, 0.5, 1.0]) or nice_ticks(0, 1, 5)[0] == 0
    ticks = nice_ticks(0.13, 0.87)
    assert ticks[0] <= 0.13
    assert ticks[-1] >= 0.87
    assert inner_ticks(1, 12, 8) == pytest.approx([2, 4, 6, 8, 10, 12])


def test_time_ticks_stand_on_the_hour_of_a_day() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert all(tick % 3600 == 0 for tick in time_ticks(day, day + 86400))
    assert time_text(day + 3600, 86400) == "01:00"
    assert time_text(day, 30 * 86400) == "01 Jan"
    assert time_text(day + 5, 60) == "00:00:05"


def test_a_scale_maps_its_ends_to_the_ends() -> None:
    scale = Scale(low=10, high=20, start=100, end=0)
    assert (scale(10), scale(15), scale(20)) == (100, 50, 0)


def test_a_range_of_shares_starts_at_zero_and_one_of_accuracies_does_not() -> None:
    assert padded_range([0.1, 0.9]) == (0.0, 0.9)
    assert padded_range([0.95, 0.99]) == (0.95, 0.99)
    assert padded_range([0.0, 0.0]) == (0.0, 1.0)
    low, high = padded_range([5.0])
    assert low < 5.0 < high


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234, "1.23k"), (0.95123, "0.951"), (2_500_000, "2.5M"), (0.00012, "1.2e-04"), (-3e9, "-3G")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number_text(value) == text
