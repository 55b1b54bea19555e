"""The start of a training is told in parts that add up to it."""

from __future__ import annotations

import time

from benchmarks.bare_training import process_start_s
from benchmarks.training import PARTS, parts_of


def test_the_parts_of_a_start_add_up_to_it() -> None:
    moments = {f"{name}_s": 100.0 + 2.0 * place for place, name in enumerate(PARTS, start=1)}
    parts = parts_of(moments, 100.5)
    assert list(parts) == list(PARTS)
    assert parts["began"] == 1.5
    assert sum(parts.values()) == moments["first_step_s"] - 100.5


def test_a_script_that_begins_at_once_has_no_command_before_it() -> None:
    marks = {f"{name}_s": 100.0 for name in PARTS}
    assert parts_of({**marks, "began_s": 99.99}, 100.0)["began"] == 0.0  # the kernel counts in hundredths


def test_a_process_knows_when_it_began() -> None:
    began_s = process_start_s()
    assert 0 < began_s < time.monotonic()
    assert process_start_s() == began_s
