"""How long rows will wait follows from how fast a queue empties, not from the engine alone."""

from __future__ import annotations

import pytest

from inference.scheduler.pace import FIRST_SHARE, KNOWN_CALLS, LONG_ROW_S, MOST_OF_ENGINE, SAFE_SHARE, Pace


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


def takes(pace: Pace, patience_s: float) -> int:
    """Return behind how many rows one with such a deadline is still taken."""
    return max(rows for rows in range(1000) if not pace.is_too_long(rows, patience_s))


def test_a_deadline_is_safely_met_or_the_row_is_not_taken() -> None:
    pace = Pace(0.01)
    run_calls(pace, KNOWN_CALLS, engine_s=0.02, between_s=0.0, left=5)
    assert takes(pace, 1.0) == pytest.approx(100 * SAFE_SHARE, abs=1)


def test_a_queue_that_begins_to_grow_takes_less_until_it_is_known_how_fast_it_empties() -> None:
    pace = Pace(0.01)
    assert takes(pace, 1.0) == pytest.approx(100 * FIRST_SHARE, abs=1)
    ended_s = run_calls(pace, KNOWN_CALLS - 1, engine_s=0.02, between_s=0.0, left=5)
    assert takes(pace, 1.0) == pytest.approx(100 * FIRST_SHARE, abs=1)
    ended_s = run_calls(pace, 1, engine_s=0.02, between_s=0.0, left=5, start_s=ended_s)
    assert takes(pace, 1.0) == pytest.approx(100 * SAFE_SHARE, abs=1)
    run_calls(pace, 1, engine_s=0.02, between_s=0.0, left=0, start_s=ended_s)
    assert takes(pace, 1.0) == pytest.approx(100 * FIRST_SHARE, abs=1), "the queue was empty: it begins anew"


def test_a_row_that_takes_long_in_the_engine_says_enough_by_itself() -> None:
    pace = Pace(LONG_ROW_S)
    assert takes(pace, 10.0) == pytest.approx(10.0 / LONG_ROW_S * SAFE_SHARE, abs=1)
