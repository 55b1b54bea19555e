"""What supervision concludes, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from prometheus_client import REGISTRY

from aiplatform.roles import INFERENCE, ROLES, TRAINING
from training import checks, processes, supervision
from training.launchers.base import LaunchOrder
from training.launchers.local import LocalLauncher, trainer_environment
from training.run_files import exit_file, run_folder
from training.states import ExitClass, RunState

from ..conftest import Bench


@pytest.mark.parametrize(
    ("kills_now", "exit_code", "is_out_of_memory"),
    [(3, "-9", True), (3, "", True), (2, "-9", False), (None, "-9", False), (3, "1", False)],
)
def test_a_killed_process_ran_out_of_memory_if_the_system_counts_one_more_kill(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kills_now: int | None, exit_code: str, is_out_of_memory: bool
) -> None:
    monkeypatch.setattr(processes, "count_oom_kills", lambda: kills_now)
    run = bench.create()
    order = LaunchOrder(run_id=run.pk, fence=1, folder=run_folder(run.pk))
    order.folder.mkdir(parents=True)
    exit_file(order.folder, 1).write_text(exit_code)
    assert LocalLauncher().describe_end(order, oom_kills_before=2).is_out_of_memory is is_out_of_memory


@pytest.mark.parametrize(("chosen", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_of_a_trainer_leave_the_processor_to_others(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, expected: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/tmp/of-the-server")
    environment = trainer_environment()
    assert environment["OMP_WAIT_POLICY"] == expected
    assert "PROMETHEUS_MULTIPROC_DIR" not in environment


@pytest.mark.parametrize(
    ("roles", "address", "expected"),
    [
        (frozenset(ROLES), "", "training,inference"),
        (frozenset(ROLES), "http://inference:8000", "training"),
        (frozenset({TRAINING}), "http://inference:8000", "training"),
    ],
)
def test_a_trainer_is_no_more_of_the_platform_than_it_needs(
    settings: Any, roles: frozenset[str], address: str, expected: str
) -> None:
    settings.ROLES = roles
    settings.SERVICE_URLS = {**settings.SERVICE_URLS, INFERENCE: address}
    assert trainer_environment()["AIPLATFORM_ROLES"] == expected


def test_a_run_that_was_killed_for_memory_is_not_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([1, *[2] * 50])
    monkeypatch.setattr(LocalLauncher, "count_oom_kills", lambda self: next(counts))
    run = bench.start(fault="kill")
    type(run).objects.filter(pk=run.pk).update(oom_kills_before=1)
    run = bench.until(run, lambda r: (bench.work(r) / "faulted").exists(), supervised=False)
    type(run).objects.filter(pk=run.pk).update(oom_kills_before=1)
    run = bench.until_ended(run)
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, ExitClass.OUT_OF_MEMORY, 1)


def test_when_the_platform_ends_its_trainers_leave_their_runs_in_the_queue(bench: Bench) -> None:
    run = bench.until_epoch(bench.start(epochs=1000, step_s=0.02), 1)
    assert supervision.release_local_trainers(wait_s=20) == 0
    run = bench.fresh(run)
    assert (run.state, run.attempts_left) == (RunState.QUEUED, 3)


def test_supervision_counts_runs_for_prometheus(bench: Bench) -> None:
    bench.create()
    supervision.supervise()  # rings, and starts nothing itself
    assert REGISTRY.get_sample_value("aiplatform_training_runs", {"state": "queued"}) == 1
    waited_s = REGISTRY.get_sample_value("aiplatform_training_longest_wait_seconds")
    assert waited_s is not None
    assert waited_s > 0


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("TRAINING_SLOTS", 0, "training.E001"),
        ("TRAINING_FAIR_SHARE_S", 0.0, "training.E001"),
        ("TRAINING_CORES", -1.0, "training.E005"),
        ("TRAINING_LEASE_S", 1.0, "training.W001"),
        ("TRAINING_LAUNCHER", "moon", "training.E002"),
        ("TRAINING_KERAS_BACKEND", "theano", "training.E006"),
        ("TRAINING_DIR", "/proc/version/runs", "training.E003"),
    ],
)
def test_a_wrong_setting_is_a_check_with_a_hint(settings: Any, name: str, value: object, problem: str) -> None:
    setattr(settings, name, value)
    found = [
        message
        for check in (checks.check_limits, checks.check_launcher, checks.check_keras_backend, checks.check_folders)
        for message in check(None)
    ]
    assert [message.id for message in found] == [problem]
    assert found[0].hint


def test_the_default_settings_raise_no_problem_of_training() -> None:
    assert not [message for message in run_checks() if str(message.id).startswith("training.")]
