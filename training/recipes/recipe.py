"""What a recipe is: a description that costs nothing to read, and one method that builds a learner.

Most recipes derive from `KerasRecipe` or `TorchRecipe` and write only their network. A recipe
for anything else derives from `Recipe` and brings its own `Learner`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol

from aiplatform.artifacts import Arrays
from training.data.dataset import Array, DataDescription, DataKind
from training.recipes.parameters import FitParameters


class Learner(Protocol):
    """A network with its optimizer, as the training loop sees it. Frameworks live behind it."""

    model_format: str

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        """Learn from one batch; return its mean loss and how many rows were right.

        Shapes: inputs as in the data's description; labels (n,) int64.
        """

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""

    def predict(self, inputs: Arrays) -> Array:
        """Return probabilities, shape (n, classes), float32; nothing is learned."""

    def save_state(self, path: Path) -> None:
        """Write all that training needs to go on: weights, optimizer, random generators."""

    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote."""

    def export(self, folder: Path) -> None:
        """Write the model in `model_format`; its output is named `probabilities`."""


class SharingLearner(Learner, Protocol):
    """A learner that takes its place in a team, if `training.parallel.place.this_place` names one."""

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, int]:
        """Do the same with a share of a batch, which may be empty: `rows` are those of the whole batch.

        Gradients, loss and count are summed over the team.
        """

    def reseed(self, seed: int) -> None:
        """Draw random numbers (dropout's) anew: each member of a team draws its own."""


class Recipe(ABC):
    """A way to build and train a model. Reading its attributes imports no framework."""

    name: ClassVar[str]
    summary: ClassVar[str]
    framework: ClassVar[str]  # 'tensorflow' or 'torch', as in the manifest
    data_kind: ClassVar[DataKind]
    Parameters: ClassVar[type[FitParameters]] = FitParameters
    can_share: ClassVar[bool] = False  # whether its learner is a `SharingLearner` (parameter `workers`)

    @abstractmethod
    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        """Return a fresh learner; the same seed gives the same initial weights."""
