"""The model that all servers of a benchmark serve: the classic CNN, from a seed, in two formats.

28x28x1 -> 32 convolutions of 3x3 -> pool -> 64 convolutions of 3x3 -> pool -> 10 probabilities.
The same weights go into a SavedModel and into an ONNX file; both take `image` (n, 28, 28, 1) FP32
and give `probabilities` (n, 10).

    python -m benchmarks.model FOLDER     writes FOLDER/saved_model, FOLDER/model.onnx, FOLDER/samples.npz
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

NAME = "cnn"
INPUT, OUTPUT, EMBEDDING = "image", "probabilities", "embedding"
SIDE, CLASSES = 28, 10
SEED = 7
SAMPLES = 64
_POOLED = 5  # 28 -> 26 -> 13 -> 11 -> 5
_OPSET, _IR_VERSION = 17, 8  # old enough for every runtime that the servers bring along


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The parameters, in TensorFlow's layouts: kernels (height, width, in, out), dense (in, out)."""

    first: np.ndarray[Any, Any]
    first_bias: np.ndarray[Any, Any]
    second: np.ndarray[Any, Any]
    second_bias: np.ndarray[Any, Any]
    dense: np.ndarray[Any, Any]
    dense_bias: np.ndarray[Any, Any]


def make_weights(*, width: int = 1, seed: int = SEED) -> Weights:
    """Return the weights of a seed; `width` multiplies the filters, and so the work, of both layers."""
    chance = np.random.default_rng(seed)
    first, second = 32 * width, 64 * width

    def scaled(*shape: int) -> np.ndarray[Any, Any]:
        values: np.ndarray[Any, Any] = chance.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
        return values.astype(np.float32)

    return Weights(
        first=scaled(3, 3, 1, first),
        first_bias=scaled(first),
        second=scaled(3, 3, first, second),
        second_bias=scaled(second),
        dense=scaled(_POOLED * _POOLED * second, CLASSES),
        dense_bias=scaled(CLASSES),
    )


def sample_rows(count: int) -> np.ndarray[Any, Any]:
    """Return rows as clients send them, (count, 28, 28, 1): pixels / 255 of 1 to 4 significant digits."""
    chance = np.random.default_rng(SEED)
    pixels = chance.integers(0, 256, (count, SIDE, SIDE, 1))
    digits = chance.integers(1, 5, pixels.shape)
    texts = [f"{pixel / 255:.{n}g}" for pixel, n in zip(pixels.ravel(), digits.ravel(), strict=True)]
    return np.array([float(text) for text in texts], np.float32).reshape(pixels.shape)


def write_model(folder: Path, *, width: int = 1, seed: int = SEED) -> None:
    """Write both formats, and sample rows with TensorFlow's own answers."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = make_weights(width=width, seed=seed)
    write_onnx(folder / "model.onnx", weights)
    rows = sample_rows(SAMPLES)
    answers = write_saved_model(folder / "saved_model", weights, rows)
    samples: dict[str, Any] = {INPUT: rows, OUTPUT: answers}
    np.savez(folder / "samples.npz", **samples)


def make_model(folder: Path, *, width: int = 1) -> None:
    """Do the same in a process of its own, so that the caller's stays free of TensorFlow."""
    command = [sys.executable, "-m", "benchmarks.model", str(folder), "--width", str(width)]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the model could not be made:\n{done.stderr[-2000:]}")


def write_saved_model(folder: Path, weights: Weights, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Write a SavedModel with the signature `serving_default`; return its answers to the rows."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = {name: tf.Variable(value) for name, value in vars(weights).items()}

    def predict(image: Any) -> Any:
        w = module.weights
        x = tf.nn.relu(tf.nn.conv2d(image, w["first"], 1, "VALID") + w["first_bias"])
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.nn.relu(tf.nn.conv2d(x, w["second"], 1, "VALID") + w["second_bias"])
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.reshape(x, (-1, w["dense"].shape[0]))
        return {OUTPUT: tf.nn.softmax(x @ w["dense"] + w["dense_bias"])}

    spec = tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32, name=INPUT)
    module.predict = tf.function(predict, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
    return np.asarray(module.predict(tf.constant(rows))[OUTPUT])


def write_onnx(path: Path, weights: Weights, *, dimensions: int = 0) -> None:
    """Write the same network for ONNX runtimes, which keep channels before height and width.

    With `dimensions`, the flattened layer projected into so many numbers is an output, too, as recipes add it.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = {
        "channels_first": np.array([0, 1, SIDE, SIDE], np.int64),  # one channel: moving it moves no value
        "first": weights.first.transpose(3, 2, 0, 1),
        "first_bias": weights.first_bias,
        "second": weights.second.transpose(3, 2, 0, 1),
        "second_bias": weights.second_bias,
        "dense": _dense_channels_first(weights.dense),
        "dense_bias": weights.dense_bias,
    }
    pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Reshape", [INPUT, "channels_first"], ["x0"]),
        helper.make_node("Conv", ["x0", "first", "first_bias"], ["x1"]),
        helper.make_node("Relu", ["x1"], ["x2"]),
        helper.make_node("MaxPool", ["x2"], ["x3"], **pool),
        helper.make_node("Conv", ["x3", "second", "second_bias"], ["x4"]),
        helper.make_node("Relu", ["x4"], ["x5"]),
        helper.make_node("MaxPool", ["x5"], ["x6"], **pool),
        helper.make_node("Flatten", ["x6"], ["x7"]),
        helper.make_node("Gemm", ["x7", "dense", "dense_bias"], ["x8"]),
        helper.make_node("Softmax", ["x8"], [OUTPUT], axis=1),
    ]
    outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", CLASSES])]
    if dimensions:
        from training.recipes.embeddings import projection_matrix

        arrays["projection"] = projection_matrix(weights.dense.shape[0], dimensions)
        nodes.append(helper.make_node("MatMul", ["x7", "projection"], [EMBEDDING]))
        outputs.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["n", dimensions]))
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", SIDE, SIDE, 1])],
        outputs,
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _dense_channels_first(dense: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # The flattened picture is (height, width, channel) in TensorFlow and (channel, height, width) in ONNX.
    return dense.reshape(_POOLED, _POOLED, -1, CLASSES).transpose(2, 0, 1, 3).reshape(-1, CLASSES)


def main() -> None:
    """Write the model where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=1, help="multiplies the filters of both layers")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    write_model(options.folder, width=options.width, seed=options.seed)


if __name__ == "__main__":
    main()
