"""Durations are shown and typed as people say them; what is no duration is refused with what would be."""

from __future__ import annotations

import pytest

from aiplatform.errors import InvalidInputError
from monitoring.admin.alert_forms import DurationField
from monitoring.alerts.durations import duration_text, read_duration
from monitoring.templatetags.report_numbers import lasted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (1, "1 s"), (90, "90 s"), (60, "1 min"), (3600, "1 h"), (5400, "90 min"), (86_400, "1 d"),
     (604_800, "7 d"), (90_061, "90061 s")],
)  # fmt: skip
def test_a_duration_is_shown_in_the_greatest_unit_that_it_is_a_whole_number_of(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text
    assert read_duration(text) == seconds, "what is shown can be typed"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300", 300), (" 5min ", 300), ("5m", 300), ("1 h 30 min", 5400), ("1h30m", 5400), ("0.5 h", 1800),
     ("2 W", 1_209_600), ("1 d 1 s", 86_401), ("0", 0)],
)  # fmt: skip
def test_a_duration_is_read_as_people_type_it(text: str, seconds: int) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "-5 min", "1 h 30", "1,5 h", "min", "5 min later", "1 h!"])
def test_what_is_no_duration_is_refused_with_the_words_that_are(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is written like 90 s, 5 min"):
        read_duration(text)


@pytest.mark.parametrize("text", ["0.5 s", "99999999 w"])
def test_parts_of_a_second_and_more_than_a_column_holds_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="whole number of seconds up to 2147483647"):
        read_duration(text)


def test_the_form_shows_the_words_and_keeps_the_seconds() -> None:
    field = DurationField(label="window, s", min_value=0, required=True)
    assert field.label == "window"
    assert field.prepare_value(3600) == "1 h"
    assert field.clean("1 h 30 min") == 5400
    assert not field.has_changed(3600, "60 min")
    assert field.has_changed(3600, "61 min")
    assert field.has_changed(3600, "an hour")
    assert DurationField(required=False).clean("") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (42, "42 s"), (59.7, "1 min"), (303, "5 min 3 s"), (600, "10 min"), (7800, "2 h 10 min")],
)
def test_how_long_a_step_took_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    assert lasted(seconds) == text
