"""Settings that cannot work are found before anything runs."""

from typing import Any

import pytest
from pytest_django import Settings

from monitoring.checks import check_monitoring_settings


def test_the_defaults_are_fine() -> None:
    assert check_monitoring_settings(None) == []


@pytest.mark.parametrize(
    "name,value,expected",
    [
        ("PREDICTION_RETENTION_DAYS", 100.0, "monitoring.E003"),
        ("WINDOW_HOUR_RETENTION_DAYS", 1.0, "monitoring.E005"),
        ("WINDOW_HOUR_RETENTION_DAYS", 100.0, "monitoring.E005"),
        ("WINDOW_MINUTE_RETENTION_DAYS", 0.0, "monitoring.E001"),
        ("WINDOW_ROLLUP_DELAY_S", -1.0, "monitoring.E007"),
        ("DRIFT_DATASET_SHARE", 0.0, "monitoring.E006"),
        ("DRIFT_JS_THRESHOLD", 1.0, "monitoring.E002"),
        ("DRIFT_WASSERSTEIN_THRESHOLD", -0.1, "monitoring.E001"),
        ("DRIFT_SMALL_BASELINE", 0, "monitoring.E001"),
        ("DRIFT_PSI_THRESHOLD", 0.0, "monitoring.E001"),
        ("DRIFT_SIGNIFICANCE", 1.5, "monitoring.E002"),
        ("DRIFT_PERIOD_S", 10.0, "monitoring.E004"),
        ("DRIFT_MIN_SAMPLES", 5, "monitoring.W001"),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: Settings, name: str, value: Any, expected: str) -> None:
    setattr(settings, name, value)
    found = check_monitoring_settings(None)
    assert [problem.id for problem in found] == [expected]
    assert found[0].hint
