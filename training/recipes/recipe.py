"""What a recipe is: a description that costs nothing to read, and one method that builds a learner.

Most recipes derive from `KerasRecipe` or `TorchRecipe` and write only their network. A recipe
for anything else derives from `Recipe` and brings its own `Learner`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from aiplatform.artifacts import Arrays
from training.data.dataset import Array, DataDescription, DataKind, Dataset, Target
from training.data.targets import AUTO
from training.recipes.api import TrainingOrder
from training.recipes.loading import load_ordered
from training.recipes.parameters import FitParameters
from training.recipes.tasks import Task, build_task


class Learner(Protocol):
    """A network with its optimizer, as the training loop sees it. Frameworks live behind it.

    What it predicts is the task's: probabilities (n, classes), numbers (n, 1) ...
    """

    model_format: str

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, float]:
        """Learn from one batch; return its mean loss and the sum of its rows' measure (rows right, absolute errors).

        Shapes: inputs as in the data's description; labels (n,) int64, or as the task has them.
        """

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""

    def predict(self, inputs: Arrays) -> Array:
        """Return the answers, float32, shape as the task says; nothing is learned."""

    def save_state(self, path: Path) -> None:
        """Write all that training needs to go on: weights, optimizer, random generators."""

    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote."""

    def export(self, folder: Path) -> None:
        """Write the model in `model_format`; its outputs are named as the task's."""


class SharingLearner(Learner, Protocol):
    """A learner that takes its place in a team, if `training.parallel.place.this_place` names one."""

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, float]:
        """Do the same with a share of a batch, which may be empty: `rows` are those of the whole batch.

        Gradients, loss and measure are summed over the team.
        """

    def reseed(self, seed: int) -> None:
        """Draw random numbers (dropout's) anew: each member of a team draws its own."""

    def leave_team(self) -> None:
        """Part from the others in good order, as the last thing that a member's process does; not the leader's."""


class Recipe(ABC):
    """A way to build and train a model. Reading its attributes imports no framework."""

    name: ClassVar[str]
    summary: ClassVar[str]
    framework: ClassVar[str]  # 'tensorflow' or 'torch', as in the manifest
    data_kind: ClassVar[DataKind]
    targets: ClassVar[tuple[Target, ...]] = (Target.CLASSES,)
    Parameters: ClassVar[type[FitParameters]] = FitParameters
    can_share: ClassVar[bool] = False  # whether its learner is a `SharingLearner` (parameter `workers`)

    def prepare(self, parameters: Any) -> None:  # noqa: B027 (most have nothing to do)
        """Raise InvalidConfigurationError if what learns is not installed; it is asked before the data is read."""

    @abstractmethod
    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        """Return a fresh learner; the same seed gives the same initial weights."""

    def load_data(self, order: TrainingOrder, parameters: Any) -> Dataset:
        """Return the order's data, split into training, validation and test rows.

        Raises: as `load_dataset`.
        """
        return load_ordered(order, task=getattr(parameters, "task", AUTO))

    def build_task(self, data: DataDescription, parameters: Any) -> Task:
        """Return what is learned: what the data sets, unless a recipe says otherwise."""
        return build_task(data, parameters)

    def text_bytes(self, data: DataDescription, parameters: Any) -> Mapping[str, int]:
        """Return how many bytes of each text of an input go into the model, where its framework has no texts."""
        return {}
