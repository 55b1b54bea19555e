"""One clock evaluates at a time; what one that lost its lease still wants to write is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from monitoring.alerts.lease import LeaseHolder, LeaseLostError
from monitoring.models.alerts import Alert, Lease, Notification, RuleTarget
from tests.monitoring.alerts.test_several_clocks import ROOT, SET_UP, clock_environment
from tests.monitoring.alerts.world import World, make_channel, make_rule, only_alert


def holder(name: str) -> LeaseHolder:
    return LeaseHolder(name="alert rules", duration_s=60, holder=name)


def expire() -> None:
    """Let the lease end, as time would."""
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_lease_is_held_by_one_prolonged_by_it_and_taken_over_when_it_ends() -> None:
    first, second = holder("first"), holder("second")
    assert first.acquire()
    assert not second.acquire()
    assert first.acquire()
    assert first.token == 1
    expire()
    assert second.acquire()
    assert second.token == 2
    assert not first.acquire()
    with pytest.raises(LeaseLostError):
        first.check()
    second.check()


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_lease_that_was_given_back_is_free_at_once() -> None:
    first, second = holder("first"), holder("second")
    assert first.acquire()
    first.release()
    assert second.acquire()
    assert second.token == 2


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_holder_that_comes_back_after_its_end_but_before_another_prolongs() -> None:
    first = holder("first")
    assert first.acquire()
    expire()
    assert first.acquire()
    assert first.token == 1


@pytest.mark.postgres
def test_only_the_holder_evaluates(world: World) -> None:
    make_rule()
    world.tick(lease=holder("first"))
    world.tick(lease=holder("second"))
    assert len(world.measured) == 1


@pytest.mark.postgres
def test_a_clock_that_slept_through_its_lease_writes_nothing(world: World) -> None:
    make_channel()
    make_rule()
    sleeper, other = holder("sleeper"), holder("other")
    plain = world.measure
    world.value = 0.2

    def sleep_while_measuring(metric: str, **asked: Any) -> object:
        found = plain(metric, **asked)
        expire()
        awake = world.evaluator(lease=other)
        awake.measure = plain
        awake.run()
        return found

    evaluator = world.evaluator(lease=sleeper)
    evaluator.measure = sleep_while_measuring  # type: ignore[assignment]
    assert evaluator.run()["lost"] == 1
    world.flush()
    assert Alert.objects.count() == 1
    assert Notification.objects.count() == 1
    assert RuleTarget.objects.get().revision == 1


@pytest.mark.postgres
def test_a_database_that_was_away_neither_fires_nor_tells_twice(world: World) -> None:
    make_channel()
    make_rule(for_s=60)
    world.tick(value=0.2)
    gone = world.evaluator()

    def away(since: object) -> list[tuple[str, int]]:
        raise OperationalError("the database system is shutting down")

    gone.list_active_versions = away
    for _ in range(30):
        world.now += timedelta(seconds=10)
        with pytest.raises(OperationalError):
            gone.run()
    assert only_alert().state == "pending"
    world.tick()
    assert only_alert().state == "pending", "the wait starts again: nobody looked for five minutes"
    world.pass_time(60)
    assert only_alert().state == "firing"
    assert len(world.titles()) == 1


@pytest.mark.postgres
def test_a_database_that_goes_away_in_the_middle_of_a_step_leaves_nothing_of_it(world: World) -> None:
    make_channel()
    make_rule()
    world.value = 0.2

    class Broken(LeaseHolder):
        def check(self) -> None:
            raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError):
        world.tick(lease=Broken(name="alert rules", duration_s=60, holder="x"))
    assert not Alert.objects.exists()
    world.tick()
    assert only_alert().state == "firing"
    assert len(world.titles()) == 1


@pytest.mark.e2e
@pytest.mark.timeout(500)
def test_of_two_clocks_one_evaluates_each_slot_and_the_other_goes_on_when_it_is_killed(
    tmp_path: Path, empty_database: str
) -> None:
    environment = clock_environment(tmp_path, empty_database)
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", SET_UP]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    slots = tmp_path / "slots"
    slots.touch()
    start = [sys.executable, "-m", "tests.monitoring.alerts.leased_clock", str(slots)]
    clocks = [subprocess.Popen(start, cwd=ROOT, env=environment, text=True) for _ in range(2)]
    try:
        owner = wait_for_lines(slots, 4)[0].split()[0]
        killed = next(clock for clock in clocks if str(clock.pid) == owner)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        count = len(slots.read_text().splitlines())
        lines = wait_for_lines(slots, count + 4)
    finally:
        for clock in clocks:
            clock.kill()
            clock.wait()
    evaluated = Counter(line.split()[1] for line in lines)
    assert max(evaluated.values()) == 1, "no slot was evaluated twice"
    assert {line.split()[0] for line in lines} == {str(clock.pid) for clock in clocks}


def wait_for_lines(file: Path, count: int) -> list[str]:
    """Return the lines of a file once there are so many."""
    import time

    end_s = time.monotonic() + 180
    while time.monotonic() < end_s:
        lines = file.read_text().splitlines()
        if len(lines) >= count:
            return lines
        time.sleep(0.1)
    raise AssertionError(f"only {len(file.read_text().splitlines())} of {count} lines came")
