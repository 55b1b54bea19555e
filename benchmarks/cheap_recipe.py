"""A recipe that costs next to nothing, for what is measured of runs and not of learning: it counts labels.

It needs no learning framework; how long a step takes is a parameter. Its model is a file that no engine serves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.dataset import Array, DataDescription, DataKind
from training.recipes.parameters import FitParameters, parameter
from training.recipes.recipe import Learner, Recipe

RECIPE = "benchmarks.cheap_recipe:Tally"


@dataclass(frozen=True, kw_only=True)
class TallyParameters(FitParameters):
    """How long it takes."""

    step_s: float = parameter(0.02, minimum=0.0, maximum=10.0, help="Seconds that a step sleeps.")


class TallyLearner:
    """Counts how often each class occurs, and predicts that for every row."""

    model_format = "npy"

    def __init__(self, classes: int, step_s: float) -> None:
        self._counts, self._step_s = np.ones(classes), step_s

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, float]:
        """Count the labels; return the mean surprise, and how many rows have the commonest label."""
        time.sleep(self._step_s)
        self._counts += np.bincount(labels, minlength=len(self._counts))
        shares = self._shares()[labels]
        return float(-np.log(shares).mean()), float((labels == self._counts.argmax()).sum())

    def predict(self, inputs: Arrays) -> Array:
        """Return the shares, shape (n, classes), the same for each row."""
        rows = len(next(iter(inputs.values())))
        return np.tile(self._shares().astype(np.float32), (rows, 1))

    def save_state(self, path: Path) -> None:
        """Write the counts."""
        with path.open("wb") as file:
            np.save(file, self._counts)

    def load_state(self, path: Path) -> None:
        """Read the counts."""
        self._counts = np.load(path, allow_pickle=False)

    def set_learning_rate(self, rate: float) -> None:
        """Do nothing: counting has no step size."""

    def export(self, folder: Path) -> None:
        """Write the counts."""
        np.save(folder / "counts.npy", self._counts)

    def _shares(self) -> Array:
        return np.asarray(self._counts / self._counts.sum())


class Tally(Recipe):
    """Predicts each class by how often it occurs."""

    name = "tally"
    summary = "Predicts each class by how often it occurs"
    framework = "numpy"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[TallyParameters]] = TallyParameters

    def build_learner(self, data: DataDescription, parameters: TallyParameters, seed: int) -> Learner:
        """Return a learner that has counted nothing."""
        return TallyLearner(len(data.labels), parameters.step_s)


def write_data(path: Path, *, rows: int = 320, classes: int = 4) -> None:
    """Write an .npz file of small random images for it."""
    dice = np.random.default_rng(0)
    images = dice.integers(0, 255, size=(rows, 8, 8), dtype=np.uint8)
    arrays: dict[str, Any] = {"images": images, "labels": dice.integers(0, classes, size=rows, dtype=np.uint8)}
    np.savez(path, **arrays)
