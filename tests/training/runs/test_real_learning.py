"""Runs through the real learning code, with a recipe that needs no framework."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import read_profile, verify_artifact
from training import doorbell
from training.models import Run
from training.services import RunOrder, create_run
from training.states import ExitClass, RunState

from ..conftest import Bench
from ..numpy_recipe import RECIPE


@pytest.fixture
def images(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, images=random.integers(0, 255, (120, 4, 4), dtype=np.uint8), labels=np.arange(120) % 3)
    return path


def _start(images: Path, **parameters: int) -> Run:
    order = RunOrder(recipe=RECIPE, data_uri=str(images), model_name="shares", parameters={"epochs": 2, **parameters})
    run = create_run(order)
    doorbell.answer(str(run.pk))
    return run


def test_a_run_of_ones_own_recipe_becomes_a_whole_artifact(
    bench: Bench, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_LEARN", "training.learning.learn")
    run = bench.until_ended(_start(images), timeout_s=60)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    folder = bench.folder / "artifacts/shares/1"
    manifest = verify_artifact(folder)
    assert (manifest.framework, manifest.task, len(manifest.labels)) == ("numpy", "image_classification", 3)
    assert manifest.lineage.data_fingerprint == run.data_fingerprint != ""
    assert read_profile(folder)["rows"] > 0
    assert [epoch.epoch for epoch in run.epochs.all()] == [1, 2]


def test_the_log_tells_of_the_data_once_then_of_epochs_test_and_version(
    bench: Bench, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_LEARN", "training.learning.learn")
    run = bench.until_ended(_start(images), timeout_s=60)
    lines = [line.partition(" ")[2].partition(" ")[2] for line in bench.log(run).splitlines()]
    assert [line.partition(" ")[0] for line in lines] == [
        "attempt", "data", "learning", "epoch", "epoch", "tested:", "registered",
    ], bench.log(run)  # fmt: skip
    assert "fingerprint" in lines[1]
    assert lines[2] == "learning 3 classes"


def test_a_loss_that_is_no_number_fails_the_run_clearly_and_at_once(
    bench: Bench, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_LEARN", "training.learning.learn")
    run = bench.until_ended(_start(images, diverge_at=2), timeout_s=60)
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, ExitClass.FAILED, 1), bench.log(run)
    assert "loss became nan" in run.exit_message
    assert "learning_rate" in run.exit_message
