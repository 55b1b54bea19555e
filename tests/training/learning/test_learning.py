"""The loop's promises, on a recipe so small that each can be broken in a second."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import read_arrays, read_calibration, read_profile
from aiplatform.errors import InvalidConfigurationError
from tests.training.data.pictures import write_bars
from tests.training.recipes.reporters import RememberingReporter
from tests.training.recipes.softmax_regression import PATH
from training.learning import learn
from training.recipes import loop
from training.recipes.api import StopRequestedError, TrainedModel, TrainingFailedError, TrainingOrder
from training.recipes.checkpoints import CheckpointStore, Progress


def order(work_dir: Path, *, seed: int = 7, **parameters: Any) -> TrainingOrder:
    data = work_dir / "bars.npz"
    if not data.exists():
        write_bars(data)
    return TrainingOrder(
        recipe=PATH,
        parameters={"epochs": 3, "batch_size": 64, **parameters},
        data_uri=str(data),
        target=None,
        seed=seed,
        work_dir=work_dir,
    )


def weights(model: TrainedModel, folder: Path) -> Any:
    folder.mkdir()
    model.save_model(folder)
    return np.load(folder / "weights.npy")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, Any]:
    folder = tmp_path_factory.mktemp("unbroken")
    model = learn(order(folder), RememberingReporter())
    return model, weights(model, folder / "model")


def test_the_same_seed_gives_the_same_weights(unbroken: tuple[TrainedModel, Any], tmp_path: Path) -> None:
    again = learn(order(tmp_path), RememberingReporter())
    assert np.array_equal(weights(again, tmp_path / "model"), unbroken[1])
    assert again.metrics == unbroken[0].metrics


def test_another_seed_gives_other_weights(unbroken: tuple[TrainedModel, Any], tmp_path: Path) -> None:
    other = learn(order(tmp_path, seed=8), RememberingReporter())
    assert not np.array_equal(weights(other, tmp_path / "model"), unbroken[1])


@pytest.mark.parametrize("stop_at", [(1, 1), (2, 5), (2, 21), (3, 21)])
def test_a_stopped_training_ends_as_one_that_was_not(
    unbroken: tuple[TrainedModel, Any], tmp_path: Path, stop_at: tuple[int, int]
) -> None:
    first, second = RememberingReporter(stop_at=stop_at), RememberingReporter()
    with pytest.raises(StopRequestedError):
        learn(order(tmp_path), first)
    resumed = learn(order(tmp_path), second)
    assert np.array_equal(weights(resumed, tmp_path / "model"), unbroken[1])
    assert resumed.history == unbroken[0].history
    assert not set(first.steps) & set(second.steps), "no batch is learned twice"
    assert any("resuming at epoch" in message for message in second.messages)


def test_a_checkpoint_that_was_cut_gives_way_to_the_one_before(
    unbroken: tuple[TrainedModel, Any], tmp_path: Path
) -> None:
    with pytest.raises(StopRequestedError):
        learn(order(tmp_path), RememberingReporter(stop_at=(3, 4)))
    newest = max((tmp_path / "checkpoints").iterdir())
    learner = newest / "learner"
    learner.write_bytes(learner.read_bytes()[:100])
    reporter = RememberingReporter()
    resumed = learn(order(tmp_path), reporter)
    assert reporter.steps[0] == (3, 1)
    assert np.array_equal(weights(resumed, tmp_path / "model"), unbroken[1])


def test_another_orders_checkpoint_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(StopRequestedError):
        learn(order(tmp_path, seed=1), RememberingReporter(stop_at=(2, 1)))
    reporter = RememberingReporter()
    learn(order(tmp_path, seed=2), reporter)
    assert reporter.steps[0] == (1, 1)


def test_a_finished_training_is_not_repeated(unbroken: tuple[TrainedModel, Any], tmp_path: Path) -> None:
    learn(order(tmp_path), RememberingReporter())
    reporter = RememberingReporter()
    again = learn(order(tmp_path), reporter)
    assert reporter.steps == []
    assert again.history == unbroken[0].history


def test_a_long_epoch_has_checkpoints_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL_S", 0.0)
    reporter = RememberingReporter()
    learn(order(tmp_path, epochs=1), reporter)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["000001-000021", "000002-000000"]


def test_a_loss_that_is_no_number_fails_and_says_where(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailedError, match=r"loss became (nan|inf) at epoch 1, step \d+"):
        learn(order(tmp_path, learning_rate=1e300), RememberingReporter())


def test_a_checkpoint_that_cannot_be_written_fails_the_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(TrainingFailedError, match="could not write a checkpoint"):
        learn(order(tmp_path), RememberingReporter())


def test_a_killed_training_goes_on_from_its_last_checkpoint(unbroken: tuple[TrainedModel, Any], tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.training.learning.test_learning import order, learn, RememberingReporter\n"
        "class Deadly(RememberingReporter):\n"
        "    def step(self, *, epoch, step, metrics):\n"
        "        if (epoch, step) == (2, 9): os.kill(os.getpid(), signal.SIGKILL)\n"
        "learn(order(Path(sys.argv[1])), Deadly())\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -9
    reporter = RememberingReporter()
    resumed = learn(order(tmp_path), reporter)
    assert reporter.steps[0] == (2, 1)
    assert np.array_equal(weights(resumed, tmp_path / "model"), unbroken[1])


def test_the_reporter_hears_of_every_step_and_epoch(tmp_path: Path) -> None:
    reporter = RememberingReporter()
    learn(order(tmp_path, epochs=2), reporter)
    assert reporter.begun == [(2, 21)]
    assert reporter.steps == [(epoch, step) for epoch in (1, 2) for step in range(1, 22)]
    assert [set(e) for e in reporter.epochs] == [{"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}] * 2


def test_the_artifact_has_model_warmup_and_profile(unbroken: tuple[TrainedModel, Any], tmp_path: Path) -> None:
    model, _ = unbroken
    with stage_artifact(str(tmp_path / "place")) as staged:
        model.write_to(staged)
        inputs = read_arrays(staged.folder / "warmup" / "inputs.npz")
        outputs = read_arrays(staged.folder / "warmup" / "outputs.npz")
        profile = read_profile(staged.folder)
        assert (staged.folder / "model" / "weights.npy").exists()
    model.signature.inputs[0].check(inputs["image"])
    model.signature.outputs[0].check(outputs["probabilities"])
    assert len(inputs["image"]) == len(outputs["probabilities"]) == 8
    assert profile["rows"] == 1299
    assert set(profile["features"]) == {"brightness", "contrast", "sharpness", "fill"}
    assert set(profile["outputs"]) == {"label", "confidence"}


def test_the_artifact_says_how_often_a_confidence_is_right(unbroken: tuple[TrainedModel, Any], tmp_path: Path) -> None:
    model, _ = unbroken
    with stage_artifact(str(tmp_path / "place")) as staged:
        model.write_to(staged)
        found = read_calibration(staged.folder)
    assert found is not None and found == model.calibration
    assert (found.subject, found.method) == ("confidence", "platt")
    assert 0 < found.accuracy <= 1
    low, high = found.apply(np.array([-1.0, 8.0]))
    assert 0 <= low <= high <= 1


def test_the_evaluation_counts_every_test_row(unbroken: tuple[TrainedModel, Any]) -> None:
    matrix = np.array(unbroken[0].evaluation["confusion_matrix"])
    assert matrix.shape == (3, 3)
    assert matrix.trace() / matrix.sum() == pytest.approx(unbroken[0].metrics["accuracy"])


def test_a_recipe_for_tables_refuses_images(tmp_path: Path) -> None:
    wrong = replace(order(tmp_path), recipe="keras_tabular", parameters={})
    with pytest.raises(InvalidConfigurationError, match=r"learns from table; '.*bars.npz' is images"):
        learn(wrong, RememberingReporter())


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    def fill_up(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    def write_whole(path: Path) -> None:
        path.write_bytes(b"whole")

    store = CheckpointStore(tmp_path, identity="one")
    store.save(Progress(epoch=2), write_whole)
    with pytest.raises(OSError, match="No space left"):
        store.save(Progress(epoch=3), fill_up)
    found: list[bytes] = []
    progress = store.load(lambda path: found.append(path.read_bytes()))
    assert progress is not None
    assert (progress.epoch, found) == (2, [b"whole"])
    assert [p.name for p in tmp_path.iterdir()] == ["000002-000000"]
