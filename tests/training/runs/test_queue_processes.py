"""The queue's processes live and die together: none is left alone, and none waits for a lock that died."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings

from benchmarks.processes import MARK, marked_pids, parent_of

from ..conftest import Bench

pytestmark = pytest.mark.e2e

LEADER, SENTINEL, MEMBERS = 1, 1, 3  # one worker, the monitor and the pusher


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue as `serve` starts it."""

    process: subprocess.Popen[bytes]
    mark: str

    def living(self) -> list[int]:
        """Return all its processes that live."""
        return marked_pids(self.mark)

    def sentinel(self) -> int:
        """Return the process that looks after the others."""
        return next(pid for pid in self.living() if parent_of(pid) == self.process.pid)

    def members(self) -> list[int]:
        """Return the processes that the sentinel looks after."""
        sentinel = self.sentinel()
        return sorted(pid for pid in self.living() if parent_of(pid) == sentinel)


@pytest.fixture
def queue(bench: Bench) -> Iterator[Queue]:
    """Give a queue whose processes have all come up."""
    mark = f"queue-{secrets.token_hex(8)}"
    process = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster"], cwd=settings.BASE_DIR, start_new_session=True,
        env={**os.environ, MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    queue = Queue(process=process, mark=mark)
    try:
        wait_until(lambda: len(queue.living()) == LEADER + SENTINEL + MEMBERS, within_s=60)
        yield queue
    finally:
        for pid in queue.living():
            os.kill(pid, signal.SIGKILL)
        process.wait()


def wait_until(is_true: Callable[[], bool], *, within_s: float) -> None:
    """Poll until a fact holds; fail when the time is over."""
    deadline_s = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline_s, "the fact did not come true in time"
        time.sleep(0.05)


def has_ended(queue: Queue) -> bool:
    """Say whether nothing of a queue is left."""
    return queue.process.poll() is not None and not queue.living()


def test_of_a_queue_whose_leader_is_killed_nobody_is_left(queue: Queue) -> None:
    os.kill(queue.process.pid, signal.SIGKILL)
    wait_until(lambda: has_ended(queue), within_s=20)


def test_of_a_queue_whose_sentinel_is_killed_nobody_is_left(queue: Queue) -> None:
    os.kill(queue.sentinel(), signal.SIGKILL)
    wait_until(lambda: has_ended(queue), within_s=20)


@pytest.mark.parametrize("place", range(MEMBERS))
def test_a_queue_ends_when_a_member_is_killed_which_may_have_held_a_lock(queue: Queue, place: int) -> None:
    os.kill(queue.members()[place], signal.SIGKILL)
    wait_until(lambda: has_ended(queue), within_s=20)


def test_a_queue_that_is_asked_to_end_ends_well(queue: Queue) -> None:
    queue.process.send_signal(signal.SIGTERM)
    wait_until(lambda: has_ended(queue), within_s=40)
    assert queue.process.returncode == 0
