"""Tiny real models, written as artifacts: an ONNX graph, a Keras network, a PyTorch network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import MONITORED, Manifest
from aiplatform.tensors import DType, Signature, TensorSpec
from tests.inference.serving_fakes import make_manifest, write_artifact

X = TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 3))
Y = TensorSpec(name="y", dtype=DType.FP32, shape=(-1, 2))
LINEAR = Signature(inputs=(X,), outputs=(Y,))
IMAGE = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 6, 6, 1))
PROBABILITIES = TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 3))
PICTURES = Signature(inputs=(IMAGE,), outputs=(PROBABILITIES,))
WEIGHTS = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)

ONNX_MANIFEST = make_manifest(LINEAR, name="linear", framework="onnx", model_format="onnx")
EMBEDDING = TensorSpec(name="embedding", dtype=DType.FP32, shape=(-1, 2))
KERAS_MANIFEST = replace(make_manifest(PICTURES, name="pictures"), embedding=EMBEDDING)
TORCH_MANIFEST = replace(
    make_manifest(PICTURES, name="pictures", framework="torch", model_format="torch_export"), embedding=EMBEDDING
)
PROJECTION = np.random.default_rng(5).normal(size=(16, 2)).astype(np.float32)


def linear_model(weights: np.ndarray[Any, Any] = WEIGHTS) -> bytes:
    """Return an ONNX file that multiplies rows by weights."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    raw: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    return raw


def linear_samples(rows: int = 5) -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs of the linear model."""
    return {"x": np.random.default_rng(0).random((rows, 3), dtype=np.float32)}


def write_onnx_artifact(folder: Path, manifest: Manifest = ONNX_MANIFEST) -> Path:
    """Write the linear model as an artifact."""
    inputs = linear_samples()
    raw = linear_model()

    def save(model: Path) -> None:
        (model / "model.onnx").write_bytes(raw)

    folder.parent.mkdir(parents=True, exist_ok=True)
    return write_artifact(folder, manifest, inputs, {"y": inputs["x"] @ WEIGHTS}, save)


def pictures() -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs of the picture networks."""
    return {"image": np.random.default_rng(0).random((5, 6, 6, 1), dtype=np.float32) * 255}


def write_keras_artifact(folder: Path) -> Path:
    """Write a small convolutional network as Keras exports it."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    image = keras.Input((6, 6, 1), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(2)(x))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    inner = keras.Model(image, x)

    @tf.function(input_signature=[tf.TensorSpec((None, 6, 6, 1), tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> Any:
        return {"probabilities": model(image)}

    @tf.function(input_signature=[tf.TensorSpec((None, 6, 6, 1), tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def monitored(image: Any) -> Any:
        return {"probabilities": model(image), "embedding": inner(image) @ PROJECTION}

    def save(target: Path) -> None:
        tf.saved_model.save(model, str(target), signatures={"serving_default": serve, MONITORED: monitored})

    inputs = pictures()
    outputs = {name: np.asarray(array) for name, array in monitored(inputs["image"]).items()}
    return write_artifact(folder, KERAS_MANIFEST, inputs, outputs, save)


def write_torch_artifact(folder: Path) -> Path:
    """Write a small convolutional network as an exported program."""
    import torch

    class ChannelsFirst(torch.nn.Module):  # type: ignore[misc]
        def forward(self, image: Any) -> Any:
            return image.permute(0, 3, 1, 2) / 255

    torch.manual_seed(3)
    inner = torch.nn.Sequential(
        ChannelsFirst(),
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
    )
    head = torch.nn.Sequential(torch.nn.Linear(16, 3), torch.nn.Softmax(dim=1))

    class Monitored(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = inner, head
            self.register_buffer("projection", torch.from_numpy(PROJECTION))

        def forward(self, image: Any) -> Any:
            hidden = self.inner(image)
            return self.head(hidden), hidden @ self.projection

    network = Monitored().eval()
    inputs = pictures()
    with torch.no_grad():
        both = network(torch.from_numpy(inputs["image"]))
    outputs = {"probabilities": both[0].numpy(), "embedding": both[1].numpy()}

    def save(target: Path) -> None:
        rows = torch.export.Dim("rows")
        program = torch.export.export(network, (torch.zeros(2, 6, 6, 1),), dynamic_shapes=({0: rows},))
        torch.export.save(program, target / "model.pt2")

    return write_artifact(folder, TORCH_MANIFEST, inputs, outputs, save)
