"""What every peer calls: the model on one thread of ONNX Runtime or TensorFlow.

Imported by the peers' serve scripts from their own environments; it needs numpy and the engine.
BENCH_MODEL is the model's folder, BENCH_ENGINE `onnx` or `tensorflow`, BENCH_GC_FREEZE 1 or 0.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAME = "cnn"
INPUT, OUTPUT = "image", "probabilities"
ROW = (28, 28, 1)
CLASSES = 10
WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
HTTP_PORT = int(os.environ.get("BENCH_HTTP_PORT", "8000"))
GRPC_PORT = int(os.environ.get("BENCH_GRPC_PORT", "8001"))
MAX_BATCH_ROWS = 64

Predict = Callable[["np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]


def load() -> Predict:
    """Return the function from rows (n, 28, 28, 1) FP32 to probabilities (n, 10); freeze what was made."""
    folder = Path(os.environ["BENCH_MODEL"])
    predict = _load_tensorflow(folder) if os.environ.get("BENCH_ENGINE") == "tensorflow" else _load_onnx(folder)
    for rows in (1, 8, MAX_BATCH_ROWS):
        predict(np.zeros((rows, *ROW), np.float32))
    freeze()
    return predict


def freeze() -> None:
    """Take what lives now out of the garbage collector's sight, if the benchmark grants the favour."""
    if os.environ.get("BENCH_GC_FREEZE") == "1":
        gc.collect()
        gc.freeze()


def _load_onnx(folder: Path) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
    )

    def predict(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = session.run([OUTPUT], {INPUT: rows})[0]
        return found

    return predict


def _load_tensorflow(folder: Path) -> Predict:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(str(folder / "saved_model"))
    function = model.signatures["serving_default"]

    def predict(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = function(**{INPUT: tf.convert_to_tensor(rows)})[OUTPUT].numpy()
        return found

    predict.model = model  # type: ignore[attr-defined]  # the variables live as long as this does
    return predict
