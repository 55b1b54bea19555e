"""A worker that is told to end waits for its successors, then says so with every answer, then ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aiplatform.http.closing import LEAVE_TIME_S, LONGEST_WAIT_S, Leaving
from aiplatform.http.succession import Succession


class FakeLoop:
    """A loop whose time is told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((self.now_s + delay_s, call))

    def go_on_to(self, moment_s: float) -> None:
        while self.calls and min(self.calls, key=lambda c: c[0])[0] <= moment_s:
            due = min(self.calls, key=lambda c: c[0])
            self.calls.remove(due)
            self.now_s = due[0]
            due[1]()
        self.now_s = moment_s


class FakeWorker:
    """gunicorn's worker, as far as its end is concerned."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.ended_at_s: float | None = None

    def handle_exit_signal(self) -> None:
        self.ended_at_s = self.loop.now_s


@pytest.fixture
def line() -> Succession:
    """Give a line of workers, of whom this process is the first, and serves."""
    line = Succession()
    line.open()
    line.note_start(1)
    line.become(1)
    line.note_serving()
    return line


def test_with_nobody_starting_the_end_comes_after_the_time_to_leave(line: Succession) -> None:
    worker, leaving = FakeWorker(), Leaving(line)
    leaving.delay_end_of(worker)
    worker.handle_exit_signal()
    assert leaving.has_begun
    worker.loop.go_on_to(10)
    assert worker.ended_at_s == LEAVE_TIME_S


def test_while_a_successor_starts_the_worker_goes_on_as_if_nothing_had_been_said(line: Succession) -> None:
    worker, leaving = FakeWorker(), Leaving(line)
    leaving.delay_end_of(worker)
    line.note_start(2)
    for second in range(8):
        worker.handle_exit_signal()  # the arbiter says it again and again
        worker.loop.go_on_to(second)
    was_leaving = leaving.has_begun
    line.note_end(2)  # as it clears its place itself, once it serves
    worker.loop.go_on_to(20)
    assert (was_leaving, leaving.has_begun) == (False, True)
    assert worker.ended_at_s == pytest.approx(7.0 + LEAVE_TIME_S, abs=0.2)


def test_a_successor_that_never_comes_is_not_waited_for_for_ever(line: Succession) -> None:
    worker, leaving = FakeWorker(), Leaving(line)
    leaving.delay_end_of(worker)
    line.note_start(2)
    worker.handle_exit_signal()
    worker.loop.go_on_to(2 * LONGEST_WAIT_S)
    assert worker.ended_at_s == pytest.approx(LONGEST_WAIT_S + LEAVE_TIME_S, abs=0.2)


def test_when_all_are_to_end_nobody_is_waited_for(line: Succession) -> None:
    line.note_start(2)
    assert line.is_awaited()
    line.note_stop()
    assert not line.is_awaited()


def test_a_worker_does_not_wait_for_itself_and_one_that_died_is_not_waited_for(line: Succession) -> None:
    line.note_start(1)
    assert not line.is_awaited()
    line.note_start(2)
    line.note_end(2)
    assert not line.is_awaited()


def test_without_an_arbiter_nobody_is_awaited() -> None:
    alone = Succession()
    alone.note_start(1)
    alone.note_serving()
    assert not alone.is_awaited()
