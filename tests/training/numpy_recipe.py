"""A recipe in numpy alone, for runs through the real learning code without a framework."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.dataset import Array, DataDescription, DataKind
from training.recipes.parameters import FitParameters, parameter
from training.recipes.recipe import Learner, Recipe

RECIPE = "tests.training.numpy_recipe:Shares"


@dataclass(frozen=True, kw_only=True)
class SharesParameters(FitParameters):
    """When the loss shall stop to be a number."""

    diverge_at: int = parameter(0, help="Step at which the loss becomes NaN; 0: never.", minimum=0)


class SharesLearner:
    """Learns how often each class occurs, and predicts that."""

    model_format = "npy"

    def __init__(self, classes: int, diverge_at: int) -> None:
        self._counts = np.ones(classes)
        self._diverge_at, self._steps = diverge_at, 0

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        """Count the labels."""
        self._steps += 1
        self._counts += np.bincount(labels, minlength=len(self._counts))
        return (float("nan") if self._steps == self._diverge_at else 1.0), 0

    def predict(self, inputs: Arrays) -> Array:
        """Return the shares, the same for each row."""
        rows = len(next(iter(inputs.values())))
        return np.tile((self._counts / self._counts.sum()).astype(np.float32), (rows, 1))

    def save_state(self, path: Path) -> None:
        """Write the counts."""
        with path.open("wb") as file:
            np.save(file, self._counts)

    def load_state(self, path: Path) -> None:
        """Read the counts."""
        self._counts = np.load(path)

    def set_learning_rate(self, rate: float) -> None:
        """Do nothing: counting has no step size."""

    def export(self, folder: Path) -> None:
        """Write the counts."""
        np.save(folder / "counts.npy", self._counts)


class Shares(Recipe):
    """Predicts each class by how often it occurs."""

    name = "shares"
    summary = "Predicts each class by how often it occurs."
    framework = "numpy"
    data_kind = DataKind.IMAGES
    Parameters = SharesParameters

    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        """Return a fresh learner."""
        return SharesLearner(len(data.labels), parameters.diverge_at)
