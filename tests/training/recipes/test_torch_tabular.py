"""The PyTorch recipe for tables takes raw rows, texts among them, on every engine that its program runs on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import DType, TensorSpec
from inference.engines import EngineKind
from tests.training.data.customers import write_customers
from tests.training.recipes.serving import manifest_of, open_as
from training.exporting.child import export
from training.exporting.messages import ExportForm, ExportOrder
from training.exporting.texts import known_texts

pytestmark = [
    pytest.mark.torch,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*", "ignore:.*LeafSpec:FutureWarning"
    ),
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


def test_it_leaves_as_an_onnx_file_that_takes_texts_and_answers_alike(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    import onnxruntime

    write_customers(tmp_path / "customers.csv", classes=3)
    order = {"recipe": "torch_tabular", "data": tmp_path / "customers.csv", "target": "class", "epochs": 2}
    model, folder, inputs, _ = train(**order)
    wish = ExportOrder(artifact=str(folder), manifest=manifest_of(model), form=ExportForm.ONNX)
    place = tmp_path / "place"
    place.mkdir()
    report = export(wish, place)
    assert report.compared_rows == len(inputs["income"])
    assert report.largest_difference < 1e-5
    assert report.agreement == 1.0
    session = onnxruntime.InferenceSession(str(place / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    assert {one.name: one.type for one in session.get_inputs()} == {"income": "tensor(float)", "job": "tensor(string)"}
    own = open_as(None, model, folder)
    odd = {**ODD, "job": np.array([[""], ["cosmonaut"], ["cooks"]], object)}
    for rows in (inputs, odd, {**odd, "job": np.array([["cook"], ["\u00e9t\u00e9"], ["pilot"]], object)}):
        told = session.run(["probabilities"], rows)[0]
        assert np.allclose(told, own.run(rows)["probabilities"], atol=1e-5)


def test_a_program_without_the_texts_that_it_knows_is_not_exported() -> None:
    spec = TensorSpec(name="job", dtype=DType.BYTES, shape=(-1, 1))

    class Bare:
        constants: dict[str, Any] = {}

        def named_buffers(self) -> list[Any]:
            return []

    with pytest.raises(InvalidConfigurationError, match=r"keeps no table 'columns\.0\.table'"):
        known_texts(Bare(), (spec,), {"job": 6})


def test_an_engine_refuses_texts_that_the_manifest_does_not_explain(train: Callable[..., Any], tmp_path: Path) -> None:
    from dataclasses import replace

    from aiplatform.errors import ArtifactError

    write_customers(tmp_path / "customers.csv", classes=2)
    model, folder, _, _ = train("torch_tabular", tmp_path / "customers.csv", target="class", epochs=1)
    with pytest.raises(ArtifactError, match="text_bytes does not say"):
        open_as(None, replace(model, text_bytes={}), folder)
