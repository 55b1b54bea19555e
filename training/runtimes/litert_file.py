"""LiteRT (.tflite) files, run by their interpreter."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, TensorSpec
from training.runtimes.base import ModelForm, RuntimeOptions, reading
from training.runtimes.files import FILES
from training.runtimes.signatures import join_by_name, tensor_spec

FILE = FILES[ModelForm.LITERT]
_MAGIC = b"TFL3"


def open_model(path: Path, options: RuntimeOptions) -> LiteRtRuntime:
    """Load a .tflite file."""
    with path.open("rb") as file:
        if file.read(8)[4:] != _MAGIC:
            raise InvalidInputError(f"'{path.name}' is no LiteRT file: '{_MAGIC.decode()}' must stand at byte 4")
    from ai_edge_litert.interpreter import Interpreter

    with reading(f"'{path.name}' cannot be read as a LiteRT model"):
        interpreter = Interpreter(str(path), num_threads=options.threads or None)
        return LiteRtRuntime(path, interpreter, options)


class LiteRtRuntime:
    """One interpreter, through the model's signature if it has any, else by its tensors' names."""

    def __init__(self, path: Path, interpreter: Any, options: RuntimeOptions) -> None:
        self._path, self._interpreter = path, interpreter
        known = list(interpreter.get_signature_list())
        self.signature_name = _choose_signature(path, known, options.signature_name)
        # With several signatures each has its own graph, and only its runner knows it. A runner that
        # is kept bars the interpreter from allocating, so one that is not needed is dropped.
        self._runner = interpreter.get_signature_runner(self.signature_name) if len(known) > 1 else None
        self._taken, self._made = _details(interpreter, self.signature_name)
        self.inputs = join_by_name("inputs", _specs(self._taken), options.given.inputs)
        self.outputs = join_by_name("outputs", _specs(self._made), options.given.outputs, may_choose=True)
        self._shapes: dict[str, tuple[int, ...]] = {}
        if self._runner is None:
            interpreter.allocate_tensors()

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        if self._runner is not None:
            answers = self._runner(**inputs)
            return {spec.name: answers[spec.name] for spec in self.outputs}
        shapes = {name: array.shape for name, array in inputs.items()}
        if shapes != self._shapes:
            for name, array in inputs.items():
                self._interpreter.resize_tensor_input(self._taken[name]["index"], array.shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for name, array in inputs.items():
            self._interpreter.set_tensor(self._taken[name]["index"], array)
        self._interpreter.invoke()
        return {
            spec.name: np.array(self._interpreter.get_tensor(self._made[spec.name]["index"])) for spec in self.outputs
        }

    def quantization(self, name: str) -> tuple[float, int]:
        """Return scale and zero point of an input or output; (0.0, 0) if it is not quantised."""
        entry = self._taken.get(name) or self._made[name]
        scale, zero = entry["quantization"]
        return float(scale), int(zero)

    def save(self, folder: Path) -> None:
        """Copy the file."""
        shutil.copyfile(self._path, folder / FILE)


def _choose_signature(path: Path, names: list[str], wanted: str) -> str:
    if wanted and wanted not in names:
        raise InvalidInputError(
            f"'{path.name}' has no signature '{wanted}'; it has: {', '.join(sorted(names)) or 'none'}"
        )
    if wanted or not names:
        return wanted
    if "serving_default" in names:
        return "serving_default"
    if len(names) > 1:
        raise InvalidInputError(
            f"'{path.name}' has the signatures {', '.join(sorted(names))}; choose one with --signature-name"
        )
    return names[0]


def _details(interpreter: Any, signature: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the interpreter says of inputs and outputs, by name."""
    if signature:
        runner = interpreter.get_signature_runner(signature)
        return runner.get_input_details(), runner.get_output_details()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return {entry["name"]: entry for entry in inputs}, {entry["name"]: entry for entry in outputs}


def _specs(details: dict[str, Any]) -> tuple[TensorSpec, ...]:
    specs = tuple(
        tensor_spec(name, entry["dtype"], [int(n) for n in entry["shape_signature"]]) for name, entry in details.items()
    )
    for spec in specs:
        if spec.dtype is DType.BYTES:
            raise InvalidInputError(f"'{spec.name}' is of texts, which are not served from LiteRT files")
    return specs
