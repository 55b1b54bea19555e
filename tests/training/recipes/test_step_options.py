"""Clipping, pieces, class weights and mixed precision mean the same in both frameworks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.pictures import write_bars

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*"),
]
RECIPES = ["keras_cnn", pytest.param("torch_cnn", marks=pytest.mark.torch)]


@pytest.fixture
def learned(train: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that trains on a few pictures and gives model and answers to the warm-up rows."""
    write_bars(tmp_path / "bars.npz", rows=200, size=8)

    def run(recipe: str, name: str, **options: Any) -> tuple[Any, Any, Path]:
        if recipe.startswith("torch"):
            torch = pytest.importorskip("torch", reason="PyTorch is not installed")
            torch.set_num_threads(1)
        fixed = {"epochs": 1, "batch_size": 30, "dropout": 0.0}
        model, folder, _, outputs = train(recipe, tmp_path / "bars.npz", name=name, **{**fixed, **options})
        return model, outputs["probabilities"], folder

    return run


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_in_pieces_gives_the_same_model(recipe: str, learned: Callable[..., Any]) -> None:
    _, whole, _ = learned(recipe, "whole")
    _, pieces, _ = learned(recipe, "pieces", pieces=7)
    assert np.allclose(whole, pieces, atol=2e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_gradient_is_cut_to_its_longest(recipe: str, learned: Callable[..., Any]) -> None:
    """Adam forgets lengths, so what shows is its epsilon: gradients of 1e-12 hardly move a weight."""
    still, _, _ = learned(recipe, "still", clip_norm=1e-12)
    moved, _, _ = learned(recipe, "moved", clip_norm=1e6)
    assert still.history[0]["val_loss"] > moved.history[0]["val_loss"] + 0.1


@pytest.mark.parametrize("recipe", RECIPES)
def test_mixed_precision_learns_and_is_served_in_float32(recipe: str, learned: Callable[..., Any]) -> None:
    exact, _, _ = learned(recipe, "exact", epochs=3)
    mixed, answers, folder = learned(recipe, "mixed", epochs=3, precision="bfloat16")
    assert mixed.metrics["accuracy"] > exact.metrics["accuracy"] - 0.1
    assert answers.dtype == np.float32
    assert np.abs(answers.sum(axis=1) - 1).max() < 1e-5, "bfloat16 would be off by some thousandths"
    assert (folder / "model").exists()


@pytest.mark.parametrize("recipe", RECIPES)
def test_balanced_weights_find_the_rare_class(recipe: str, train: Callable[..., Any], tmp_path: Path) -> None:
    if recipe.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    random = np.random.default_rng(5)
    labels = (random.random(600) < 0.08).astype(np.int64)
    images = (random.normal(100, 60, (600, 6, 6, 1)) + 45 * labels[:, None, None, None]).clip(0, 255).astype(np.uint8)
    np.savez(tmp_path / "rare.npz", images=images, labels=labels)

    def recall(name: str, weights: str) -> float:
        options = {"epochs": 4, "batch_size": 32, "class_weights": weights}
        model, *_ = train(recipe, tmp_path / "rare.npz", name=name, **options)
        matrix = model.evaluation["confusion_matrix"]
        return float(matrix[1][1] / sum(matrix[1]))

    assert recall("balanced", "balanced") > recall("equal", "equal")
