"""The PyTorch recipe for tables takes raw rows, texts among them, on every engine that its program runs on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engines import EngineKind
from tests.training.data.customers import write_customers
from tests.training.recipes.serving import open_as

pytestmark = [
    pytest.mark.torch,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*"),
]

ODD = {
    "income": np.array([[np.nan], [1000.0], [-5.0]], np.float32),
    "job": np.array([[""], ["astronaut"], [b"cook"]], object),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """On a busy machine, threads that wait for each other cost minutes."""
    pytest.importorskip("torch", reason="PyTorch is not installed").set_num_threads(1)


def test_torch_tabular_learns_resumes_and_serves_raw_rows(train: Callable[..., Any], tmp_path: Path) -> None:
    write_customers(tmp_path / "customers.csv", classes=3)
    order = {"recipe": "torch_tabular", "data": tmp_path / "customers.csv", "target": "class", "epochs": 6}
    model, folder, inputs, outputs = train(**order)
    assert model.metrics["accuracy"] > 0.9
    assert model.text_bytes == {"job": 6}, "one byte more than the longest job has"
    own = open_as(None, model, folder)
    onnx = open_as(EngineKind.ONNXRUNTIME, model, folder)
    for engine in (own, onnx):
        assert np.allclose(engine.run(inputs)["probabilities"], outputs["probabilities"], atol=1e-5)
        assert np.allclose(engine.run(inputs)["embedding"], outputs["embedding"], atol=1e-4), "of columns and texts"
        answers = engine.run(ODD)["probabilities"]
        assert np.allclose(answers.sum(axis=1), 1, atol=1e-5), "missing and unknown values have an answer"
        longer = {**ODD, "job": np.array([[""], ["cosmonaut"], ["cooks"]], object)}
        changed = engine.run(longer)["probabilities"]
        assert np.allclose(changed[1], answers[1]), "all unknown values are alike"
        assert not np.allclose(changed[2], answers[2]), "one that begins as a known one is unknown"
    _, _, _, resumed = train(**order, name="stopped", stop_at=(2, 3))
    assert np.array_equal(resumed["probabilities"], outputs["probabilities"]), "same seed, same weights, even when cut"


def test_an_engine_refuses_texts_that_the_manifest_does_not_explain(train: Callable[..., Any], tmp_path: Path) -> None:
    from dataclasses import replace

    from aiplatform.errors import ArtifactError

    write_customers(tmp_path / "customers.csv", classes=2)
    model, folder, _, _ = train("torch_tabular", tmp_path / "customers.csv", target="class", epochs=1)
    with pytest.raises(ArtifactError, match="text_bytes does not say"):
        open_as(None, replace(model, text_bytes={}), folder)
