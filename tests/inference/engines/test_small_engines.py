"""ONNX Runtime and LiteRT: names, types, threads, and memory that is given back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import ArtifactError, InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import EngineOptions, load_engine
from inference.engines.base import available_cores
from tests.inference.compiling.models import LINEAR, ONNX_MANIFEST, WEIGHTS, X, Y, linear_samples, write_onnx_artifact
from tests.inference.serving_fakes import make_manifest


def test_an_onnx_model_gives_what_its_weights_say(tmp_path: Path) -> None:
    engine = load_engine(write_onnx_artifact(tmp_path / "1"), ONNX_MANIFEST)
    x = linear_samples(7)["x"]
    np.testing.assert_allclose(engine.run({"x": x})["y"], x @ WEIGHTS, rtol=1e-5)
    np.testing.assert_allclose(engine.run({"x": x[::2]})["y"], x[::2] @ WEIGHTS, rtol=1e-5)  # not contiguous
    assert (engine.name, engine.releases_gil) == ("onnxruntime", True)
    engine.close()


@pytest.mark.parametrize(
    ("signature", "rule"),
    [
        (Signature(inputs=(replace(X, name="z"),), outputs=(Y,)), r"inputs are \['z'\], the model's are \['x'\]"),
        (Signature(inputs=(X,), outputs=(replace(Y, name="z"),)), r"outputs are \['z'\], the model's are \['y'\]"),
    ],
)
def test_an_onnx_model_with_other_tensors_is_refused(tmp_path: Path, signature: Signature, rule: str) -> None:
    folder = write_onnx_artifact(tmp_path / "1")
    with pytest.raises(ArtifactError, match=rule):
        load_engine(folder, replace(ONNX_MANIFEST, signature=signature))


@pytest.mark.parametrize(("framework", "file"), [("onnx", "model.onnx"), ("litert", "model.tflite")])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, framework: str, file: str) -> None:
    manifest = make_manifest(LINEAR, name="linear", framework=framework, model_format=framework)
    (tmp_path / "model").mkdir()
    with pytest.raises(ArtifactError, match="linear version 1 cannot be loaded"):
        load_engine(tmp_path, manifest)
    (tmp_path / "model" / file).write_bytes(b"no model")
    with pytest.raises(ArtifactError, match="linear version 1 cannot be loaded"):
        load_engine(tmp_path, manifest)


def test_texts_that_are_not_utf8_are_refused_by_onnx_runtime(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["t"], ["u"])], "texts",
        [value("t", TensorProto.STRING, ["rows"])], [value("u", TensorProto.STRING, ["rows"])],
    )  # fmt: skip
    (tmp_path / "model").mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "model" / "model.onnx").write_bytes(model.SerializeToString())
    texts = TensorSpec(name="t", dtype=DType.BYTES, shape=(-1,))
    signature = Signature(inputs=(texts,), outputs=(replace(texts, name="u"),))
    engine = load_engine(tmp_path, make_manifest(signature, framework="onnx", model_format="onnx"))
    given = np.array(["a", "Zoë".encode()], dtype=object)
    assert engine.run({"t": given})["u"].tolist() == ["a", "Zoë"]
    with pytest.raises(InvalidInputError, match="input 't' must hold UTF-8"):
        engine.run({"t": np.array([b"\xff"], dtype=object)})
    engine.close()


def test_texts_are_refused_by_litert(tmp_path: Path) -> None:
    texts = Signature(inputs=(replace(X, dtype=DType.BYTES),), outputs=(Y,))
    with pytest.raises(ArtifactError, match="LiteRT engine has no BYTES"):
        load_engine(tmp_path, make_manifest(texts, framework="litert", model_format="litert"))


def test_workers_share_the_cores() -> None:
    cores = available_cores()
    assert EngineOptions().thread_count == cores
    assert EngineOptions(workers=2 * cores).thread_count == 1
    assert EngineOptions(workers=cores).thread_count == 1
    assert EngineOptions(threads=3, workers=4).thread_count == 3
