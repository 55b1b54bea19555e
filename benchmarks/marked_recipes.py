"""The recipes `keras_cnn` and `torch_cnn`, which also note when a run has come to which part of its start, and its end.

The marks go into the file that the variable `BENCHMARK_MARKS` names, with the last checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bare_training import mark, process_start_s
from training.recipes.keras_cnn import KerasCnn
from training.recipes.torch_cnn import TorchCnn

VARIABLE = "BENCHMARK_MARKS"
RECIPES = {"keras": "benchmarks.marked_recipes:MarkedKerasCnn", "torch": "benchmarks.marked_recipes:MarkedTorchCnn"}
_marks: dict[str, float] = {}


class MarkedKerasCnn(KerasCnn):
    """`keras_cnn`, observed."""

    name = "marked_keras_cnn"

    def load_data(self, *given: Any, **named: Any) -> Any:
        """Return the data, observed."""
        return read(super().load_data, *given, **named)

    def build_learner(self, *given: Any, **named: Any) -> Any:
        """Return the learner, observed."""
        return observe(super().build_learner(*given, **named))


class MarkedTorchCnn(TorchCnn):
    """`torch_cnn`, observed."""

    name = "marked_torch_cnn"

    def load_data(self, *given: Any, **named: Any) -> Any:
        """Return the data, observed."""
        return read(super().load_data, *given, **named)

    def build_learner(self, *given: Any, **named: Any) -> Any:
        """Return the learner, observed."""
        return observe(super().build_learner(*given, **named))


def read(load: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Return what is loaded, and mark before and after."""
    _marks.update({"began_s": process_start_s(), **mark("reading")})
    data = load(*given, **named)
    _marks.update(mark("read"))
    return data


def observe(learner: Any) -> Any:
    """Have a learner write marks: when it is there, at its first step, and whenever a checkpoint is written."""
    _marks.update(mark("built"))
    train, save = learner.train_batch, learner.save_state

    def first_batch(*given: Any, **named: Any) -> Any:
        answer = train(*given, **named)
        _marks.update(mark("first_step"))
        learner.train_batch = train  # all other steps are as they always are
        return answer

    def save_state(path: Path) -> None:
        save(path)
        _marks.update(mark("learned"))
        Path(os.environ[VARIABLE]).write_text(json.dumps(_marks))

    learner.train_batch, learner.save_state = first_batch, save_state
    return learner
