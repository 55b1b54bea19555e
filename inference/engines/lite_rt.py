"""LiteRT (XNNPACK) on the CPU, without any learning framework.

Inputs are resized when the number of rows changes and only then: 10 us for the classic CNN, less
than padding to a fixed size costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType
from inference.engines.arrays import check_same_names
from inference.engines.base import Arrays, EngineKind, EngineOptions

MODEL_FILE = "model.tflite"


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> LiteRtEngine:
    """Load `model.tflite`.

    Raises: ArtifactError if it is not there, is no model or has other tensors than the manifest says.
    """
    signature = manifest.computed
    if any(spec.dtype is DType.BYTES for spec in (*signature.inputs, *signature.outputs)):
        raise ArtifactError(f"{manifest.name}: the LiteRT engine has no BYTES tensors, but its signature has some")
    try:
        interpreter = Interpreter(model_path=str(model / MODEL_FILE), num_threads=options.thread_count)
    except (ValueError, RuntimeError, OSError) as error:
        raise ArtifactError(f"{manifest.name} version {manifest.version} cannot be loaded: {error}") from error
    return LiteRtEngine(interpreter, manifest)


class LiteRtEngine:
    """One interpreter in memory."""

    name = EngineKind.LITERT
    releases_gil = True
    concurrency = 1  # it holds the tensors of one call

    def __init__(self, interpreter: Any, manifest: Manifest) -> None:
        signature = manifest.computed
        inputs, outputs = _tensor_indices(interpreter, signature.name)
        check_same_names(manifest, "inputs", (s.name for s in signature.inputs), inputs)
        check_same_names(manifest, "outputs", (s.name for s in signature.outputs), outputs)
        self._interpreter: Any = interpreter
        self._inputs = [(spec.name, inputs[spec.name]) for spec in signature.inputs]
        self._outputs = [(spec.name, outputs[spec.name]) for spec in signature.outputs]
        self._shapes: tuple[tuple[int, ...], ...] | None = None

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order."""
        interpreter = self._interpreter
        shapes = tuple(inputs[name].shape for name, _ in self._inputs)
        if shapes != self._shapes:
            self._resize(shapes)
        for name, index in self._inputs:
            interpreter.set_tensor(index, inputs[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in self._outputs}

    def close(self) -> None:
        """Let go of the interpreter and its packed weights."""
        self._interpreter = None

    def _resize(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        self._shapes = None  # what fails half-way is done again
        for (_, index), shape in zip(self._inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes


def _tensor_indices(interpreter: Any, wanted: str) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the tensors' numbers by name: of the signature in the file, else of the graph itself."""
    found = interpreter.get_signature_list()
    if not found:
        inputs = {str(detail["name"]): int(detail["index"]) for detail in interpreter.get_input_details()}
        return inputs, {str(detail["name"]): int(detail["index"]) for detail in interpreter.get_output_details()}
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(wanted if wanted in found else next(iter(found)))
    inputs = {name: int(detail["index"]) for name, detail in runner.get_input_details().items()}
    return inputs, {name: int(detail["index"]) for name, detail in runner.get_output_details().items()}
