"""Who is next, who may pass, and what is said to those who wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from training.resources.amounts import HostState
from training.resources.queueing import Decision, Policy, Waiting, in_order, plan

from .machines import GIB, NOW, machine, run_holder, waiting

POLICY = Policy(aging_s=3600, backfill_s=600)


def order(*queue: Waiting, used: dict[str, float] | None = None) -> list[int]:
    return [one.run_id.int for one in in_order(queue, used or {}, NOW, aging_s=POLICY.aging_s)]


def decide(queue: Sequence[Waiting], *hosts: HostState, **options: Any) -> list[Decision]:
    return plan(queue, hosts, NOW, POLICY, **options)


def starting(queue: Sequence[Waiting], *hosts: HostState, **options: Any) -> list[int]:
    return [one.run_id.int for one in decide(queue, *hosts, **options) if one.host]


def test_priority_goes_before_fair_share_and_fair_share_before_age() -> None:
    old, poor, urgent = waiting(1, minutes=9), waiting(2, minutes=1, requester="bob"), waiting(3, priority=1)
    assert order(old, poor, urgent, used={"ann": 100.0}) == [3, 2, 1]
    assert order(old, waiting(2, minutes=1)) == [1, 2]


def test_waiting_raises_the_priority_so_that_nothing_starves() -> None:
    patient, urgent = waiting(1, minutes=181, requester="heavy"), waiting(2, priority=3, requester="light")
    assert order(patient, urgent, used={"heavy": 9e9}) == [2, 1]
    assert order(waiting(1, minutes=241, requester="heavy"), urgent, used={"heavy": 9e9}) == [1, 2]


def test_a_waiting_run_says_what_it_lacks_who_holds_it_and_its_place() -> None:
    busy = machine(cores=4, holders=[run_holder("run ab12", cores=3)])
    queue = [waiting(1, cores=2), waiting(2, cores=2), waiting(3, cores=2)]
    assert decide(queue, busy)[2].reason == "waits for 2 of 4 cores: run ab12 holds 3; third in the queue"


def test_all_that_lacks_is_named() -> None:
    held = [run_holder(f"run {n}", cores=1, memory_bytes=n * GIB) for n in range(1, 5)]
    reason = decide([waiting(1, cores=4, memory_bytes=4 * GIB)], machine(cores=5, memory=12 * GIB, holders=held))[
        0
    ].reason
    assert reason == (
        "waits for 4 of 5 cores: run 1 holds 1, run 2 holds 1, run 3 holds 1, others hold 1, and for 4.0 GiB of "
        "12.0 GiB memory: run 4 holds 4.0 GiB, run 3 holds 3.0 GiB, run 2 holds 2.0 GiB, others hold 1.0 GiB; "
        "first in the queue"
    )


def test_devices_that_are_held_are_named_by_number() -> None:
    host = machine(gpus=2, holders=[run_holder(gpus={"GPU-1": 0})])
    assert decide([waiting(1, cores=1, gpus=2)], host)[0].reason == (
        "waits for 2 of 2 GPUs: run ab12 holds GPU 1; first in the queue"
    )


def test_a_run_that_fits_nowhere_any_more_says_so_with_the_numbers() -> None:
    reason = decide([waiting(1, cores=8)], machine(cores=2), machine("two/2", cores=4))[0].reason
    assert reason == "it asks for 8 cores, and the largest machine has 4; first in the queue"


def test_amounts_that_no_single_machine_has_together_are_refused_as_such() -> None:
    hosts = [machine(cores=8, memory=GIB), machine("two/2", cores=1, memory=8 * GIB)]
    reason = decide([waiting(1, cores=8, memory_bytes=8 * GIB)], *hosts)[0].reason
    assert reason.startswith("no training machine has all that it asks for together")


def test_without_a_machine_the_queue_says_that_none_was_heard_of() -> None:
    assert "none has been heard of lately" in decide([waiting(1)])[0].reason


def test_small_runs_start_beside_each_other_as_far_as_there_is_room() -> None:
    queue = [waiting(n, cores=1, memory_bytes=GIB) for n in range(1, 7)]
    assert starting(queue, machine(cores=4)) == [1, 2, 3, 4]


def test_a_small_run_passes_one_that_does_not_fit_and_names_it() -> None:
    busy = machine(cores=4, holders=[run_holder(cores=2)])
    decisions = decide([waiting(1, cores=4), waiting(2, cores=1)], busy)
    assert [one.host for one in decisions] == ["", "one/1"]
    assert [run.int for run in decisions[1].passes] == [1]


def test_after_the_time_for_passing_the_machine_is_kept_for_the_large_run() -> None:
    busy = machine(cores=4, holders=[run_holder(cores=2)])
    large = waiting(1, cores=4, passed_at=NOW - timedelta(seconds=POLICY.backfill_s))
    decisions = decide([large, waiting(2, cores=1)], busy)
    assert not decisions[1].host
    assert decisions[1].reason == (
        "waits behind run run1, which has let smaller runs pass for 600 s (TRAINING_BACKFILL_S); second in the queue"
    )
    assert starting([large, waiting(2, cores=1)], busy, machine("small/2", cores=1)) == [2]  # no use to the large one


def test_a_large_run_starts_in_bounded_time_however_many_small_ones_keep_coming() -> None:
    """Each small run holds one of four cores for 300 s, a new one comes each 60 s; the large one wants all four."""
    large, ends, minute = waiting(0, cores=4), [300.0, 240.0, 180.0], 0
    passed_s: float | None = None
    for minute in range(100):
        now_s = minute * 60.0
        ends = [end for end in ends if end > now_s]
        host = machine(cores=4, holders=[run_holder(f"run {end}", cores=1) for end in ends])
        passed_at = None if passed_s is None else NOW + timedelta(seconds=passed_s)
        queue = [
            waiting(0, cores=4, passed_at=passed_at),
            waiting(minute + 1, cores=1),
        ]
        decisions = plan(queue, [host], NOW + timedelta(seconds=now_s), POLICY)
        if decisions[0].host:
            break
        if decisions[1].host:
            ends.append(now_s + 300)
            passed_s = now_s if passed_s is None else passed_s
    assert large.ask.cores == 4
    assert 0 < minute * 60 <= POLICY.backfill_s + 300 + 60


def test_the_machine_that_asks_is_tried_first() -> None:
    hosts = [machine("a/1"), machine("b/2")]
    assert [one.host for one in decide([waiting(1, cores=1)], *hosts, here="b/2")] == ["b/2"]


def test_a_run_for_devices_does_not_stand_in_the_way_on_a_machine_without() -> None:
    gpu_box = machine("gpu/1", cores=1, gpus=1, holders=[run_holder(cores=1, gpus={"GPU-0": 0})])
    queue = [waiting(1, cores=1, gpus=1, passed_at=NOW - timedelta(days=1)), waiting(2, cores=1, gpus=0)]
    assert starting(queue, gpu_box, machine("cpu/2")) == [2]


@pytest.mark.parametrize("held", range(3))
def test_a_cluster_is_full_when_its_slots_are_ordered(held: int) -> None:
    cluster = HostState(
        name="cluster jobs",
        capacity=machine(cores=0, memory=0, slots=2).capacity,
        holders=tuple(run_holder(f"run {n}") for n in range(held)),
        is_cluster=True,
    )
    decision = decide([waiting(1, cores=64, gpus=8)], cluster)[0]
    assert bool(decision.host) is (held < 2)
    if held == 2:
        assert "2 of 2 attempts are ordered (TRAINING_SLOTS)" in decision.reason
