"""How long rows will wait follows from how fast a queue empties, not from the engine alone."""

from __future__ import annotations

import pytest

from inference.scheduler.pace import MOST_OF_ENGINE, SAFE_SHARE, Pace


def run_calls(pace: Pace, count: int, *, engine_s: float, between_s: float, left: int, start_s: float = 100.0) -> float:
    """Note calls of two rows; return when the last one ended."""
    now_s = start_s
    for _ in range(count):
        now_s += between_s
        pace.note_call(now_s, now_s + engine_s, 2, left=left)
        now_s += engine_s
    return now_s


def test_where_rows_wait_the_time_between_calls_is_theirs() -> None:
    pace = Pace(0.01)
    run_calls(pace, 100, engine_s=0.02, between_s=0.02, left=5)
    assert pace.engine_row_s == pytest.approx(0.01)
    assert pace.row_s == pytest.approx(0.02, rel=0.01)
    assert pace.wait_s(10) == pytest.approx(0.2, rel=0.01)


def test_where_none_wait_it_is_idleness() -> None:
    pace = Pace(0.01)
    run_calls(pace, 100, engine_s=0.02, between_s=1.0, left=0)
    assert pace.row_s == pytest.approx(0.01)


def test_the_first_call_after_idleness_does_not_count_it() -> None:
    pace = Pace(0.01)
    ended_s = run_calls(pace, 3, engine_s=0.02, between_s=0.0, left=0)
    pace.note_call(ended_s + 60, ended_s + 60.02, 2, left=7)
    assert pace.row_s == pytest.approx(0.01)


def test_a_pause_of_the_process_is_no_pace() -> None:
    pace = Pace(0.01)
    ended_s = run_calls(pace, 3, engine_s=0.02, between_s=0.0, left=5)
    pace.note_call(ended_s + 60, ended_s + 60.02, 2, left=5)
    assert pace.row_s <= 0.01 + 0.1 * (MOST_OF_ENGINE - 1) * 0.01 + 1e-9


def test_a_deadline_is_safely_met_or_the_row_is_not_taken() -> None:
    pace = Pace(0.01)
    assert not pace.is_too_long(int(100 * SAFE_SHARE), 1.0)
    assert pace.is_too_long(int(100 * SAFE_SHARE) + 1, 1.0)
