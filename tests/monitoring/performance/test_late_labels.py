"""A label that comes while its minute is rolled up into the hour is counted once, whoever is first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitoring.statistics.test_concurrent_writers import run_script

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SCRIPT = str(Path(__file__).with_name("late_labels.py"))


def test_late_labels_are_counted_once_while_their_minutes_are_rolled_up(empty_database: str, tmp_path: Path) -> None:
    assert run_script(SCRIPT, tmp_path, empty_database) == {
        "raced": [240, 0],
        "held": 320,
        "held_then_rolled_up": [320, 0],
    }
