"""What a grant means for a real training process: its cores, its memory, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from training import doorbell, processes
from training.launchers.local import trainer_environment
from training.memory_guard import MemoryGuard, end_others
from training.models import ResourceLease, Run
from training.resources.amounts import Grant
from training.resources.asking import ResourceOrder
from training.resources.ledger import read_ledger
from training.services import RunOrder, create_run
from training.states import ExitClass, RunState
from training.usage import own_memory_bytes

from ..conftest import Bench
from ..sessions import session_of
from ..stand_in import RECIPE, SWELL_BYTES

GIB, MIB = 2**30, 2**20


def order(bench: Bench, resources: ResourceOrder, **parameters: Any) -> Run:
    return create_run(
        RunOrder(
            recipe=RECIPE, data_uri="digits", model_name="sleepy", parameters={"epochs": 1, **parameters},
            resources=resources,
        )
    )  # fmt: skip


def free_cores() -> float:
    return next(host.free_cores for host in read_ledger().states() if host.name == processes.this_host())


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_trainer_is_bound_to_the_cores_that_it_was_given_and_starts_as_many_threads(bench: Bench) -> None:
    run = order(bench, ResourceOrder(cores=1))
    doorbell.answer(str(run.pk))
    run = bench.until_ended(run)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    lease = ResourceLease.objects.get(run=run)
    assert len(lease.cpus) == 1
    assert (bench.work(run) / "machine.txt").read_text() == f"{lease.cpus} 1 None"


def test_a_run_that_takes_more_memory_than_it_asked_for_is_ended_with_all_it_started(bench: Bench) -> None:
    run = order(bench, ResourceOrder(memory_bytes=SWELL_BYTES // 2), fault="swell")
    doorbell.answer(str(run.pk))
    run = bench.until(run, lambda r: r.pid is not None)
    session = run.pid
    run = bench.until_ended(run)
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, ExitClass.OUT_OF_MEMORY, 1), bench.log(run)
    assert f"of {SWELL_BYTES // 2 // MIB} MiB" in run.exit_message
    assert "at its own limit" in run.exit_message
    bench.until(run, lambda _: not session_of(session), supervised=False)
    assert run.usage.memory_peak_bytes > SWELL_BYTES // 2
    assert run.usage.cpu_seconds > 0


def test_a_killed_trainer_frees_its_cores_and_the_next_attempt_gets_them_anew(bench: Bench) -> None:
    bench.limit(TRAINING_SLOTS=1)
    run = bench.until_epoch(bench.start(epochs=100, step_s=0.02), 1)
    assert free_cores() == 0
    bench.kill(run, signal.SIGKILL)
    run = bench.until(run, lambda r: r.attempt == 2 and r.state == RunState.RUNNING)
    first, second = ResourceLease.objects.filter(run=run).order_by("fence")
    assert first.released_at is not None
    assert second.released_at is None
    bench.kill(run, signal.SIGKILL)
    Run.objects.filter(pk=run.pk).update(attempts_left=0)
    run = bench.until_ended(run)
    assert (run.exit_class, free_cores()) == (ExitClass.LOST, read_ledger().states()[0].capacity.cores)


def test_the_clock_may_die_between_the_claim_and_the_start_and_the_cores_come_back(bench: Bench) -> None:
    """The claim and its lease are one transaction; a process that dies after it leaves a run without a process."""
    bench.limit(TRAINING_LEASE_S=2.0)
    run = bench.create()
    dying = subprocess.run(
        [sys.executable, "-c", _CLAIM_AND_DIE, str(run.pk)], cwd=Path(__file__).parents[3], timeout=60, check=False
    )
    assert dying.returncode == -signal.SIGKILL
    run = bench.fresh(run)
    assert (run.state, run.pid) == (RunState.STARTING, None)
    assert free_cores() < read_ledger().states()[0].capacity.cores
    Run.objects.filter(pk=run.pk).update(lease_expires_at=run.started_at)
    run = bench.until_ended(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2), bench.log(run)


def test_a_waiting_run_starts_when_the_one_before_it_ends_and_says_until_then_why_not(bench: Bench) -> None:
    bench.limit(TRAINING_SLOTS=1)
    first, second = bench.start(epochs=2, step_s=0.05), bench.create(epochs=1)
    answer = doorbell.answer(str(second.pk))
    cores = f"{read_ledger().states()[0].capacity.cores:g}"
    assert answer.startswith(f"waits for {cores} of {cores} cores: run {first.short_id} holds {cores}"), answer
    assert bench.until_ended(second).state == RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("grant", "chosen", "expected"),
    [
        (Grant(cores=1, memory_bytes=0), ["all"], {"OMP_NUM_THREADS": "1"}),
        (Grant(cores=64, memory_bytes=0), ["all"], {}),
        (
            Grant(cores=64, memory_bytes=0, gpu_uuids=("GPU-1", "GPU-7")),
            ["all"],
            {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-7"},
        ),
        (Grant(cores=64, memory_bytes=0, gpu_uuids=()), ["all"], {"CUDA_VISIBLE_DEVICES": ""}),
        (Grant(cores=64, memory_bytes=0), ["none"], {"CUDA_VISIBLE_DEVICES": ""}),
        (Grant(cores=64, memory_bytes=0, cpus=(3, 5)), ["all"], {"TRAINER_CPUS": "3,5"}),
    ],
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) not in range(2, 65), reason="needs 2 to 64 cores")
def test_a_trainers_environment_is_its_grants(
    settings: Any, monkeypatch: pytest.MonkeyPatch, grant: Grant, chosen: list[str], expected: dict[str, str]
) -> None:
    settings.TRAINING_GPUS = chosen
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "TRAINER_CPUS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    environment = trainer_environment(grant)
    assert {name: environment[name] for name in names if name in environment} == expected


def test_the_guard_leaves_though_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(BaseException):
        pass

    def leave(code: int) -> Any:
        raise Left(code)

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("training.memory_guard.end_others", lambda: None)
    guard = MemoryGuard(100, tell=refuse, leave=leave)
    assert not guard.is_exceeded(100)
    assert guard.is_exceeded(101)
    with pytest.raises(Left, match="77"):
        guard.end(101, record=refuse)


def test_the_guard_looks_at_its_own_process_between_the_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(BaseException):
        pass

    def leave(code: int) -> Any:
        raise Left(code)

    monkeypatch.setattr("training.memory_guard.end_others", lambda: None)
    held, told = iter([10, 90, 101]), list[int]()
    guard = MemoryGuard(100, tell=told.append, leave=leave)
    with pytest.raises(Left, match="77"):
        guard.watch(record=lambda: None, held=lambda: next(held))
    assert told == [101]
    assert own_memory_bytes() > 10 * MIB


def test_only_the_trainers_own_session_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    for pid, session in ((11, os.getsid(0)), (12, 999_999), (os.getpid(), os.getsid(0))):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) S 1 1 {session} 0\n")
    end_others(proc=tmp_path)
    assert killed == [11]


def test_supervision_rings_only_for_runs_for_which_there_is_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.limit(TRAINING_SLOTS=1)
    bench.start(epochs=1000, step_s=0.05)
    bench.create()
    rung: list[object] = []
    monkeypatch.setattr(doorbell, "ring", rung.append)
    monkeypatch.setattr(doorbell, "count_unanswered", lambda: 0)
    time.sleep(bench.settings.TRAINING_RING_AGAIN_S)
    bench.ring_waiting()
    assert rung == []


_CLAIM_AND_DIE = """
import os, signal, sys, uuid
import django
django.setup()
from training import doorbell
doorbell.start_trainer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
doorbell.answer(sys.argv[1])
"""
