"""Numbers are predicted in their own unit, whatever it is, by both recipes for tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from tests.training.data.customers import write_customers, write_rents
from tests.training.recipes.serving import open_as
from training.data.sources import load_dataset

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*"),
]


@pytest.mark.parametrize(
    ("recipe", "loss"), [("keras_tabular", "huber"), pytest.param("torch_tabular", "mse", marks=pytest.mark.torch)]
)
def test_rents_are_predicted_and_served(recipe: str, loss: str, train: Callable[..., Any], tmp_path: Path) -> None:
    if recipe.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is not installed").set_num_threads(1)
    write_rents(tmp_path / "rents.csv")
    options = {"epochs": 8, "dropout": 0.0, "learning_rate": 0.01, "loss": loss}
    model, folder, inputs, outputs = train(recipe, tmp_path / "rents.csv", target="rent", **options)
    assert model.task == "regression" and model.labels == ()
    assert model.metrics["r2"] > 0.85
    assert 400 < model.metrics["mae"] < model.metrics["rmse"] < 5000, "in the rent's unit"
    assert set(model.history[-1]) == {"epoch", "loss", "mae", "val_loss", "val_mae"}
    assert model.history[-1]["val_loss"] < 0.3, "of rents with mean 0 and variance 1"
    assert outputs["value"].shape == (8, 1)
    answers = open_as(None, model, folder).run(inputs)
    assert np.allclose(answers["value"], outputs["value"], rtol=1e-4)
    assert np.allclose(answers["embedding"], outputs["embedding"], atol=1e-4) and outputs["embedding"].shape == (8, 8)
    assert set(model.profile.outputs) == {"value", *(f"embedding[{i}]" for i in range(8))}
    assert model.calibration is None


def test_whole_numbers_are_classes_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "wine.csv"
    path.write_text("acid,quality\n" + "\n".join(f"{i / 7:.3f},{3 + i % 6}" for i in range(300)))

    def load(task: str) -> Any:
        return load_dataset(str(path), target="quality", seed=1, scratch=tmp_path, task=task)

    assert (load("auto").target, len(load("auto").labels)) == ("classes", 6)
    numbers = load("regression")
    assert (numbers.target, numbers.labels, numbers.train.labels.dtype) == ("number", (), np.float32)
    assert len(numbers.test) == pytest.approx(60, abs=6)
    assert numbers.test.labels.mean() == pytest.approx(5.5, abs=0.3), "all amounts are held out alike"


def test_what_is_no_number_cannot_be_regressed(train: Callable[..., Any], tmp_path: Path) -> None:
    write_customers(tmp_path / "customers.csv", classes=2)
    with pytest.raises(InvalidInputError, match="target must be numbers, not texts such as 'bad'"):
        load_dataset(str(tmp_path / "customers.csv"), target="class", seed=1, scratch=tmp_path, task="regression")
    write_rents(tmp_path / "rents.csv")
    with pytest.raises(InvalidInputError, match="whole numbers or texts"):
        load_dataset(str(tmp_path / "rents.csv"), target="rent", seed=1, scratch=tmp_path, task="classification")
    with pytest.raises(InvalidConfigurationError, match="class_weights=balanced is for classes"):
        train("keras_tabular", tmp_path / "rents.csv", target="rent", class_weights="balanced")
