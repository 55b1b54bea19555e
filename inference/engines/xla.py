"""TensorFlow's concrete function compiled by XLA.

XLA compiles anew for each number of rows, so batches are filled up to the next power of two, and
all of these are compiled when the model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.late import load_tensorflow
from aiplatform.tensors import FREE, DType, TensorSpec
from inference.engines import saved_model
from inference.engines.base import Arrays, EngineKind, EngineOptions

tf = load_tensorflow()


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> XlaEngine:
    """Load a SavedModel and compile it for every batch size up to `options.max_rows`.

    Raises: ArtifactError if it cannot be loaded, or XLA cannot compile it.
    """
    reason = why_not(manifest)
    if reason:
        raise ArtifactError(f"{manifest.name} version {manifest.version}: {reason}")
    engine = XlaEngine(saved_model.open_engine(model, manifest, options), manifest)
    try:
        engine.compile(options.max_rows)
    except Exception as error:  # an operation that XLA does not know
        engine.close()
        raise ArtifactError(f"{manifest.name} version {manifest.version} is not for XLA: {error}") from error
    return engine


def why_not(manifest: Manifest) -> str:
    """Return why XLA is not for a model; empty if it may be."""
    signature = manifest.computed
    if any(spec.dtype is DType.BYTES for spec in (*signature.inputs, *signature.outputs)):
        return "XLA knows no BYTES tensors"
    if any(FREE in spec.shape[1:] or spec.shape[:1] != (FREE,) for spec in signature.inputs):
        return "XLA compiles for each shape, and only the number of rows may vary"
    if any(spec.shape[:1] != (FREE,) for spec in signature.outputs):
        return "not every output has one entry a row, so batches cannot be filled up"
    return ""


class XlaEngine:
    """One SavedModel in memory, and a program for each batch size."""

    name = EngineKind.TENSORFLOW_XLA
    releases_gil = True
    concurrency = 1

    def __init__(self, plain: saved_model.TensorFlowEngine, manifest: Manifest) -> None:
        self._plain: saved_model.TensorFlowEngine | None = plain
        self._inputs = manifest.computed.inputs
        self._outputs = [spec.name for spec in manifest.computed.outputs]
        function = plain.function
        self._compiled: Any = tf.function(lambda arguments: function(**arguments), jit_compile=True)

    def compile(self, max_rows: int) -> None:
        """Compile for every batch size up to a number of rows."""
        rows = 1
        while rows < 2 * max_rows:
            self.run({spec.name: _zeros(spec, rows) for spec in self._inputs})
            rows *= 2

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order."""
        rows = len(inputs[self._inputs[0].name])
        filled = 1 << (rows - 1).bit_length()
        tensors = self._compiled({name: tf.convert_to_tensor(_fill(array, filled)) for name, array in inputs.items()})
        return {name: tensors[name].numpy()[:rows] for name in self._outputs}

    def close(self) -> None:
        """Let go of the variables and the programs."""
        self._compiled = None
        if self._plain is not None:
            self._plain.close()
            self._plain = None


def _zeros(spec: TensorSpec, rows: int) -> np.ndarray[Any, Any]:
    return np.zeros((rows, *spec.shape[1:]), spec.dtype.numpy)


def _fill(array: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    if len(array) == rows:
        return array
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
