"""Orders and artifacts for recipes with a real framework inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import read_arrays
from tests.training.recipes.reporters import RememberingReporter
from training.learning import learn
from training.recipes.api import StopRequestedError, TrainedModel, TrainingOrder

Written = tuple[TrainedModel, Path, dict[str, Any], dict[str, Any]]


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Written]:
    """Return a function that trains, writes the artifact's folders and reads the warm-up back."""

    def run(
        recipe: str, data: Path, *, name: str = "once", stop_at: tuple[int, int] | None = None, **more: Any
    ) -> Written:
        target = more.pop("target", None)
        order = TrainingOrder(
            recipe=recipe, parameters=more, data_uri=str(data), target=target, seed=3, work_dir=tmp_path / name
        )
        if stop_at is not None:
            with pytest.raises(StopRequestedError):
                learn(order, RememberingReporter(stop_at=stop_at))
        model = learn(order, RememberingReporter())
        folder = tmp_path / f"{name}-artifact"
        with stage_artifact(str(tmp_path / name / "place")) as staged:
            model.write_to(staged)
            staged.folder.rename(folder)
        warmup = folder / "warmup"
        return model, folder, read_arrays(warmup / "inputs.npz"), read_arrays(warmup / "outputs.npz")

    return run
