"""Small real models of each format, all computing softmax(x W) for rows of four numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
SIGNATURE = '{"inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 4]}]}'


def answers(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what every one of the models answers."""
    powers = np.exp(x.astype(np.float64) @ WEIGHTS)
    shares: np.ndarray[Any, Any] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def make_samples(path: Path, rows: int = 40) -> Path:
    """Write rows with labels of which three in four are what the model says."""
    x = np.random.default_rng(1).standard_normal((rows, 4))
    y = answers(x).argmax(axis=1)
    y[::4] = (y[::4] + 1) % 3
    np.savez(path, x=x, y=y)
    return path


def make_onnx(path: Path, *, external: str = "", batch: str | int = "n") -> Path:
    """Write an ONNX file, with its weights in a file beside it if `external` names one."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path), save_as_external_data=bool(external), location=external or None, size_threshold=0)
    return path


def make_keras(path: Path, *, layers: tuple[Any, ...] = ()) -> Path:
    """Write a Keras file (.keras or .h5), with further layers before the last."""
    import keras

    x = inputs = keras.Input((4,), name="x")
    for layer in layers:
        x = layer(x)
    dense = keras.layers.Dense(3, activation="softmax", use_bias=False, name="probabilities")
    model = keras.Model({"x": inputs}, dense(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own, of numpy and of the old format
        dense.set_weights([WEIGHTS])
        model.save(path)
    return path


def make_saved_model(path: Path) -> Path:
    """Write a SavedModel folder with two signatures."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(WEIGHTS)
    spec = tf.TensorSpec((None, 4), tf.float32, name="x")
    first = tf.function(lambda x: {"probabilities": tf.nn.softmax(x @ module.weights)}, input_signature=[spec])
    second = tf.function(lambda x: {"logits": x @ module.weights}, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures={"serving_default": first, "raw": second})
    return path


def make_litert(path: Path, saved_model: Path) -> Path:
    """Write a .tflite file made from a SavedModel."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serving_default"])
    path.write_bytes(converter.convert())
    return path


def torch_module() -> Any:
    """Return the PyTorch module."""
    import torch

    linear = torch.nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(WEIGHTS.T))
    return torch.nn.Sequential(linear, torch.nn.Softmax(dim=1)).eval()


def make_program(path: Path) -> Path:
    """Write an exported program for any number of rows."""
    import torch

    shapes = ({0: torch.export.Dim("rows")},)
    torch.export.save(torch.export.export(torch_module(), (torch.zeros(2, 4),), dynamic_shapes=shapes), path)
    return path


def make_script(path: Path) -> Path:
    """Write a TorchScript file."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch_module(), torch.zeros(2, 4)).save(str(path))
    return path
