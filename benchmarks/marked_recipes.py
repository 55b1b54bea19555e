"""The recipes `keras_cnn` and `torch_cnn`, which also note when the first step was done, and the last checkpoint.

The marks go into the file that the variable `BENCHMARK_MARKS` names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.bare_training import mark
from training.recipes.keras_cnn import KerasCnn
from training.recipes.torch_cnn import TorchCnn

VARIABLE = "BENCHMARK_MARKS"
RECIPES = {"keras": "benchmarks.marked_recipes:MarkedKerasCnn", "torch": "benchmarks.marked_recipes:MarkedTorchCnn"}


class MarkedKerasCnn(KerasCnn):
    """`keras_cnn`, observed."""

    name = "marked_keras_cnn"

    def build_learner(self, *given: Any, **named: Any) -> Any:
        """Return the learner, observed."""
        return observe(super().build_learner(*given, **named))


class MarkedTorchCnn(TorchCnn):
    """`torch_cnn`, observed."""

    name = "marked_torch_cnn"

    def build_learner(self, *given: Any, **named: Any) -> Any:
        """Return the learner, observed."""
        return observe(super().build_learner(*given, **named))


def observe(learner: Any) -> Any:
    """Have a learner write marks: at its first step, and whenever a checkpoint is written."""
    marks: dict[str, float] = {}
    train, save = learner.train_batch, learner.save_state

    def first_batch(*given: Any, **named: Any) -> Any:
        answer = train(*given, **named)
        marks.update(mark("first_step"))
        learner.train_batch = train  # all other steps are as they always are
        return answer

    def save_state(path: Path) -> None:
        save(path)
        marks.update(mark("learned"))
        Path(os.environ[VARIABLE]).write_text(json.dumps(marks))

    learner.train_batch, learner.save_state = first_batch, save_state
    return learner
