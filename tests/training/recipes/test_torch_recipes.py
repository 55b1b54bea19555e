"""The PyTorch recipe learns, resumes to the same weights, and reloads as a program that agrees."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError
from tests.training.data.pictures import write_bars


@pytest.mark.torch
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*")
def test_torch_cnn_learns_resumes_and_reloads(train: Callable[..., Any], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -r requirements-torch.txt")
    torch.set_num_threads(1)  # on a busy machine, threads that wait for each other cost minutes
    write_bars(tmp_path / "bars.npz", rows=300, size=8)
    order = {
        "recipe": "torch_cnn",
        "data": tmp_path / "bars.npz",
        "epochs": 2,
        "batch_size": 16,
        "augment": "rotate=5,noise=8",
    }
    model, folder, inputs, outputs = train(**order)
    assert model.metrics["accuracy"] > 0.9
    program = torch.export.load(folder / "model" / "model.pt2").module()
    with torch.inference_mode():
        for rows in (8, 1, 5):
            answer, embedding = (t.numpy() for t in program(torch.from_numpy(inputs["image"][:rows])))
            assert np.allclose(embedding, outputs["embedding"][:rows], atol=1e-5)
            assert np.allclose(answer, outputs["probabilities"][:rows], atol=1e-5)
    _, _, _, resumed = train(**order, name="stopped", stop_at=(2, 3))
    assert np.array_equal(resumed["probabilities"], outputs["probabilities"]), "same seed, same weights, even when cut"


def test_without_torch_the_recipe_says_what_to_install(
    train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bars(tmp_path / "bars.npz", rows=60)
    importer = builtins.__import__

    def without_torch(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return importer(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(InvalidConfigurationError, match=r"pip install -r requirements-torch\.txt"):
        train("torch_cnn", tmp_path / "bars.npz")
