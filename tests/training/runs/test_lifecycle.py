"""A run from order to version, through every way in which its process can die."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from aiplatform.artifacts import verify_artifact
from aiplatform.storage import local_path
from training import services
from training.models import ModelVersion
from training.states import ExitClass, RunState, VersionState

from ..conftest import Bench

pytestmark = pytest.mark.long


def test_a_run_becomes_one_ready_version_with_its_lineage(bench: Bench) -> None:
    run = bench.until_ended(bench.start(seed=7))
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    version = ModelVersion.objects.get(run=run)
    assert (version.version, version.state) == (1, VersionState.READY)
    manifest = verify_artifact(bench.folder / "artifacts/sleepy/1", digest=version.artifact_digest)
    assert manifest.lineage.run_id == str(run.pk)
    assert manifest.lineage.seed == 7
    assert manifest.lineage.packages["numpy"]
    assert manifest.lineage.code_commit == run.code_commit != ""
    assert [e.epoch for e in run.epochs.all()] == [1, 2, 3]
    assert run.epochs.get(epoch=3).values == {"loss": pytest.approx(1 / 3), "accuracy": 0.75}


def test_a_killed_training_process_goes_on_from_its_checkpoint_and_ends_with_one_version(bench: Bench) -> None:
    bench.limit(TRAINING_LEASE_S=600.0)  # far away: it is its process by which the end is noticed
    run = bench.until_epoch(bench.start(epochs=4, step_s=0.02), 2)
    bench.kill(run, signal.SIGKILL)
    run = bench.until(
        run, lambda r: r.attempt == 2, timeout_s=60
    )  # noticed by its process, long before the lease is over
    run = bench.until_ended(run)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    resumed_at = int(bench.notes(run)[1].rpartition(" ")[2])
    assert resumed_at >= 2
    assert ModelVersion.objects.count() == 1
    assert [e.epoch for e in run.epochs.all()] == [1, 2, 3, 4]


def test_a_run_that_dies_again_and_again_fails_as_lost(bench: Bench) -> None:
    run = bench.until_ended(bench.start(fault="kill"))
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, ExitClass.LOST, 3)
    assert "signal 9" in run.exit_message


def test_a_process_killed_while_publishing_leaves_one_version(bench: Bench) -> None:
    run = bench.until_ended(bench.start(fault="publish"))
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2), bench.log(run)
    version = ModelVersion.objects.get()
    assert version.version == 1
    verify_artifact(local_path(version.artifact_uri), digest=version.artifact_digest)
    left = [path.name for path in (bench.folder / "artifacts/sleepy").iterdir()]
    assert left == [Path(version.artifact_uri).name], "nor what the first process was writing when it was killed"


def test_a_cancelled_run_stops_in_mid_epoch_and_can_be_resumed(bench: Bench) -> None:
    run = bench.until_epoch(bench.start(epochs=3, step_s=0.1), 1)
    services.cancel_run(run)
    assert bench.fresh(run).state == RunState.STOPPING
    run = bench.until_ended(run)
    assert (run.state, run.exit_class) == (RunState.CANCELLED, ExitClass.CANCELLED)
    assert bench.checkpoint(run) < 3
    assert not ModelVersion.objects.exists()
    services.resume_run(run)
    run = bench.until_ended(run)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    assert int(bench.notes(run)[1].rpartition(" ")[2]) >= 1


def test_a_cancelled_run_that_hears_nothing_is_killed_after_the_grace(bench: Bench) -> None:
    run = bench.start(fault="deaf")
    bench.until(run, lambda r: (bench.work(r) / "faulted").exists(), supervised=False)
    services.cancel_run(bench.fresh(run))
    run = bench.until_ended(run)
    assert (run.state, run.exit_class) == (RunState.CANCELLED, ExitClass.CANCELLED)


def test_a_queued_run_is_cancelled_at_once(bench: Bench) -> None:
    run = services.cancel_run(bench.create())
    assert (run.state, run.exit_class) == (RunState.CANCELLED, ExitClass.CANCELLED)


def test_sigterm_puts_the_run_back_into_the_queue_without_costing_an_attempt(bench: Bench) -> None:
    run = bench.until_epoch(bench.start(epochs=3, step_s=0.05), 1)
    bench.kill(run, signal.SIGTERM)
    run = bench.until(run, lambda r: r.state == RunState.QUEUED, supervised=False)
    assert run.attempts_left == 3
    run = bench.until_ended(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)


@pytest.mark.parametrize(
    ("fault", "exit_class", "words"),
    [
        ("raise", ExitClass.FAILED, "ValueError: the data has 3 columns"),
        ("memory", ExitClass.OUT_OF_MEMORY, "out of memory at epoch 1, after step 5: at its peak"),
    ],
)
def test_a_recipe_that_raises_fails_the_run_at_once(
    bench: Bench, fault: str, exit_class: ExitClass, words: str
) -> None:
    run = bench.until_ended(bench.start(fault=fault))
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, exit_class, 1)
    assert words in run.exit_message
    assert "\n" not in run.exit_message
    assert "stand_in.py" in run.exit_traceback


def test_a_run_whose_team_lost_a_worker_goes_on_from_its_checkpoint(bench: Bench) -> None:
    run = bench.until_ended(bench.start(fault="worker", fault_epoch=2, once=True))
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2), (run.exit_message, bench.log(run))
    assert bench.notes(run)[1] == "resumed at 1"
    run = bench.until_ended(bench.start(fault="worker"))
    assert (run.state, run.exit_class) == (RunState.FAILED, ExitClass.LOST)
    assert run.exit_message == "worker 1 of 2 is gone (signal 9)"


def test_a_stalled_run_is_stopped_and_tried_again(bench: Bench) -> None:
    bench.limit(TRAINING_STALL_S=2.5, TRAINING_STOP_GRACE_S=1.0)
    run = bench.until_ended(bench.start(fault="hang", fault_epoch=2, once=True))
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2), (run.exit_message, bench.log(run))
    assert bench.notes(run)[1] == "resumed at 1"


def test_a_run_over_its_wall_clock_fails_as_timed_out(bench: Bench) -> None:
    bench.limit(TRAINING_WALL_CLOCK_S=2.0)
    run = bench.until_ended(bench.start(epochs=1000, step_s=0.05))
    assert (run.state, run.exit_class) == (RunState.FAILED, ExitClass.TIMED_OUT)
    assert "TRAINING_WALL_CLOCK_S=2" in run.exit_message


def test_a_suspended_process_loses_its_run_and_is_killed(bench: Bench) -> None:
    bench.limit(TRAINING_LEASE_S=2.0, TRAINING_STOP_GRACE_S=0.5)
    run = bench.until_epoch(bench.start(epochs=3, step_s=0.05), 1)
    bench.kill(run, signal.SIGSTOP)
    run = bench.until_ended(run)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    assert run.attempt == 2
    assert ModelVersion.objects.count() == 1


def test_an_unwritable_store_fails_the_run_clearly_and_a_resume_publishes_it(bench: Bench) -> None:
    blocker = bench.folder / "artifacts"
    blocker.write_text("a file where a folder should be")
    run = bench.until_ended(bench.start())
    assert (run.state, run.exit_class) == (RunState.FAILED, ExitClass.FAILED)
    assert "artifact" in run.exit_message
    blocker.unlink()
    services.resume_run(run)
    run = bench.until_ended(run)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    assert bench.notes(run)[1] == "resumed at 3"
    assert [v.version for v in ModelVersion.objects.all()] == [1]


def test_an_unwritable_run_folder_fails_the_run_clearly(bench: Bench) -> None:
    (bench.folder / "runs").write_text("a file where a folder should be")
    run = bench.start()
    assert (run.state, run.exit_class) == (RunState.FAILED, ExitClass.FAILED)
    assert "could not be started" in run.exit_message


def test_a_trainer_that_cannot_come_up_fails_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no_such_settings")
    run = bench.until_ended(bench.start())
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, ExitClass.FAILED, 1)
    assert "did not come up" in run.exit_message


def test_runs_over_the_slots_wait_and_start_when_there_is_room(bench: Bench) -> None:
    bench.settings.TRAINING_SLOTS = 1
    first = bench.start(epochs=2, step_s=0.03)
    second = bench.start(epochs=1)
    assert bench.fresh(second).state == RunState.QUEUED
    second = bench.until_ended(second)
    assert second.state == RunState.SUCCEEDED
    first = bench.fresh(first)
    assert first.ended_at is not None
    assert second.started_at is not None
    assert second.started_at > first.ended_at
