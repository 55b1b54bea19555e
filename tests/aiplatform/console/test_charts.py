"""Charts: what the browser is told to draw, what stands in the table beside it, what cannot break out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.contrib.staticfiles import finders
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart, sparkline
from aiplatform.console.numerals import number_text, share_text, time_text

START = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)


class Reader(HTMLParser):
    """Keep the elements with their attributes, and the text of the table's cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data

    def find(self, tag: str) -> dict[str, str | None]:
        return next(attributes for name, attributes in self.elements if name == tag)


def spec_of(chart: SafeString) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(str(Reader(chart).find("console-chart")["spec"]))
    return found


def test_a_missing_value_is_a_gap() -> None:
    spec = spec_of(line_chart(title="t", series={"a": [(0, 1.0), (1, None), (2, 3.0)]}))
    assert spec["series"][0]["points"] == [[0, 1], [1, None], [2, 3]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_a_gap(value: float) -> None:
    spec = spec_of(line_chart(title="t", series={"a": [(0, 1.0), (1, value)]}, thresholds={"limit": value}))
    assert spec["series"][0]["points"][1] == [1, None]
    assert spec["thresholds"] == [{"name": "limit", "value": None}]


def test_labels_cannot_break_out_of_the_chart() -> None:
    evil = '"><script>alert("x")</script>'
    for chart in (
        line_chart(title=evil, series={evil: [(0, 1.0)], "b": [(1, 2.0)]}, x_label=evil, thresholds={evil: 1.0}),
        bar_chart(title=evil, series={evil: {evil: 1.0}, "b": {}}, y_label=evil),
        sparkline([1, 2], label=evil),
        line_chart(title=evil, series={evil: []}),
    ):
        assert "script" not in [name for name, _ in Reader(chart).elements]


def test_the_chart_says_its_title_and_its_values_to_those_who_cannot_see_it() -> None:
    element = Reader(line_chart(title="Loss", series={"a": [(0, 1.0), (1, 0.5)]})).find("console-chart")
    assert element["role"] == "img"
    assert element["aria-label"] == "Loss: a from 1 at 0 to 0.5 at 1"


def test_every_value_stands_in_the_table_beside_the_chart() -> None:
    points = [(START + timedelta(minutes=m), 0.5 + m / 100) for m in range(3)]
    chart = line_chart(title="t", series={"a": points, "b": points[1:]}, x_is_time=True, y_is_share=True)
    assert Reader(chart).rows == [
        ["time, UTC", "a", "b"], ["10:00:00", "50%", "-"], ["10:01:00", "51%", "51%"], ["10:02:00", "52%", "52%"],
    ]  # fmt: skip


def test_the_table_is_open_until_a_script_closes_it() -> None:
    assert "open" in Reader(bar_chart(title="t", series={"a": {"x": 1.0}})).find("details")


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, None)]}])
def test_a_chart_without_values_says_so(series: dict[str, list[tuple[float, float | None]]]) -> None:
    chart = line_chart(title="t", series=series)
    assert "No data yet" in chart
    assert "console-chart spec" not in chart


def test_a_bar_chart_without_values_says_so() -> None:
    assert "No data yet" in bar_chart(title="t", series={"a": {"x": None}})


def test_seconds_since_the_epoch_and_datetimes_are_the_same_time() -> None:
    seconds = START.timestamp()
    by_datetime = line_chart(title="t", series={"a": [(START, 1.0), (START + timedelta(hours=1), 2.0)]}, x_is_time=True)
    by_number = line_chart(title="t", series={"a": [(seconds, 1.0), (seconds + 3600, 2.0)]}, x_is_time=True)
    assert by_datetime == by_number


def test_bars_keep_their_places_where_one_is_missing() -> None:
    spec = spec_of(bar_chart(title="t", series={"a": {"x": 1.0, "y": 2.0}, "b": {"y": 3.0}}))
    assert spec["categories"] == ["x", "y"]
    assert [series["values"] for series in spec["series"]] == [[1, 2], [None, 3]]


def test_intervals_stand_at_their_bars_and_bands_at_their_lines() -> None:
    bars = spec_of(bar_chart(title="t", series={"a": {"x": 1.0, "y": 2.0}}, intervals={"a": {"y": (1.5, 2.5)}}))
    assert bars["series"][0]["intervals"] == [None, [1.5, 2.5]]
    lines = spec_of(
        line_chart(title="t", series={"a": [(0, 1.0)]}, bands={"a": [(0, 0.5, 1.5)], "nobody": [(0, 0.0, 1.0)]})
    )
    assert lines["bands"] == [{"name": "a", "points": [[0, 0.5, 1.5]]}]


def test_only_several_series_have_a_legend() -> None:
    assert "chart-legend" not in line_chart(title="t", series={"a": [(0, 1.0)]})
    assert "chart-legend" in line_chart(title="t", series={"a": [(0, 1.0)], "b": [(0, 2.0)]})


def test_the_library_lies_here_with_its_licence_and_asks_nobody() -> None:
    library = Path(str(finders.find("console/echarts/echarts.min.js")))
    text = library.read_text()
    assert library.stat().st_size < 1_000_000
    assert "Apache License" in (library.parent / "LICENSE").read_text()
    for forbidden in ("XMLHttpRequest", "fetch(", "eval(", "new Function", "</script"):
        assert forbidden not in text, forbidden


def test_a_sparkline_is_well_formed_and_speaks_its_last_value() -> None:
    drawn = ElementTree.fromstring(str(sparkline([1, None, 3.5], label="accuracy")))
    assert drawn.get("aria-label") == "accuracy: 3.5"
    assert len(drawn.findall("path")) == 2
    assert ElementTree.fromstring(str(sparkline([]))).get("aria-label") == "no data"


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0, 5.0], [-1.0, 1.0], [1e-12, 2e-12], [0.95, 0.99]])
def test_a_sparkline_stays_inside_its_box(values: list[float | None]) -> None:
    [path] = ElementTree.fromstring(str(sparkline(values, width=100, height=20))).findall("path")
    steps = str(path.get("d")).replace("M", "").replace("L", "").split()
    assert all(0 <= float(x) <= 100 for x in steps[::2])
    assert all(0 <= float(y) <= 20 for y in steps[1::2])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234, "1.23k"), (0.95123, "0.951"), (2_500_000, "2.5M"), (0.00012, "1.2e-04"), (-3e9, "-3G")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number_text(value) == text


def test_shares_are_percentages_and_times_as_exact_as_their_span() -> None:
    assert (share_text(0.01234), share_text(1.0)) == ("1.23%", "100%")
    day = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert time_text(day + 5, 60) == "00:00:05"
    assert time_text(day + 3600, 86_400) == "01:00"
    assert time_text(day, 30 * 86_400) == "01 Jan 00:00"
