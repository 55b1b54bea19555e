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
from training.models import Search
from training.run_files import exit_file, run_folder
from training.states import DeployState, ExitClass, RunState, SearchState

from ..conftest import Bench
from ..factories import make_run


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


class Passes:
    """Counts the passes of a supervisor whose clock stands at `now_s`."""

    def __init__(self) -> None:
        self.count = 0
        self.now_s = 1000.0
        self.supervisor = supervision.Supervisor(run=self._pass, clock=lambda: self.now_s)

    def _pass(self) -> None:
        self.count += 1

    def look(self) -> int:
        before = self.count
        self.supervisor.look()
        return self.count - before


@pytest.mark.django_db
def test_a_platform_on_which_nothing_is_trained_is_looked_over_only_now_and_then() -> None:
    passes = Passes()
    assert [passes.look() for _ in range(3)] == [1, 0, 0], "the first says what there is"
    passes.now_s += supervision.QUIET_S - 0.1
    assert passes.look() == 0
    passes.now_s += 0.2
    assert [passes.look(), passes.look()] == [1, 0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "going_on",
    [{"state": state} for state in (RunState.QUEUED, RunState.STARTING, RunState.RUNNING, RunState.STOPPING)]
    + [{"state": RunState.SUCCEEDED, "deploy_state": DeployState.PENDING}],
    ids=str,
)
def test_while_a_run_is_not_over_each_look_is_a_pass_and_so_is_the_one_after(going_on: dict[str, Any]) -> None:
    passes = Passes()
    assert [passes.look(), passes.look()] == [1, 0]
    run = make_run(**going_on)
    assert [passes.look(), passes.look()] == [1, 1]
    run.state, run.deploy_state = RunState.SUCCEEDED, DeployState.DONE
    run.save()
    assert [passes.look(), passes.look()] == [1, 0], "the one after counts what has ended"


@pytest.mark.django_db
def test_a_search_that_is_to_be_advanced_is_looked_after() -> None:
    search = Search.objects.create(
        recipe="recipe", data_uri="digits", model_name="mnist", metric="loss", sampler="tpe", pruner="none",
        trials_wanted=2,
    )  # fmt: skip
    passes = Passes()
    assert [passes.look(), passes.look()] == [1, 1]
    search.state = SearchState.SUCCEEDED
    search.save()
    assert [passes.look(), passes.look()] == [1, 0]
