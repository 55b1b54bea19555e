"""Exported programs (`torch.export`): inputs with their shapes are in the file, outputs come from running it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import TensorSpec
from aiplatform.torch_archive import check_program
from training.runtimes.base import ModelForm, RuntimeOptions, reading
from training.runtimes.files import FILES
from training.runtimes.saved_model import DEFAULT_SIGNATURE
from training.runtimes.signatures import join_by_position, tensor_spec
from training.runtimes.torch_tensors import call_module, numpy_name, refuse_texts, set_threads

FILE = FILES[ModelForm.TORCH_EXPORT]


def open_model(path: Path, options: RuntimeOptions) -> TorchProgramRuntime:
    """Load an exported program; weights are read as tensors only."""
    with reading(f"'{path.name}' cannot be read as an exported program"):
        check_program(path)
        import torch

        os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
        set_threads(options.threads)
        program = torch.export.load(path)
        return TorchProgramRuntime(path, program, options)


class TorchProgramRuntime:
    """One exported program; its inputs go in by place."""

    signature_name = DEFAULT_SIGNATURE

    def __init__(self, path: Path, program: Any, options: RuntimeOptions) -> None:
        self._path = path
        self.program = program
        self._module = program.module()
        found = _input_specs(path, program)
        self.inputs = join_by_position("inputs", found, options.given.inputs)
        refuse_texts(self.inputs)
        self.outputs = options.given.outputs

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        return call_module(self._module, inputs, [spec.name for spec in self.inputs], self.outputs)

    def save(self, folder: Path) -> None:
        """Copy the file."""
        shutil.copyfile(self._path, folder / FILE)


def _input_specs(path: Path, program: Any) -> tuple[TensorSpec, ...]:
    names = program.graph_signature.user_inputs
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    positional, keywords = program.call_spec.in_spec.children()
    if keywords.num_leaves or positional.num_children != positional.num_leaves:
        raise InvalidInputError(
            f"'{path.name}' takes keyword or nested arguments; export a module whose forward takes tensors by place"
        )
    specs = []
    for name in names:
        value = placeholders.get(name)
        if value is None or not hasattr(value, "shape"):
            raise InvalidInputError(f"'{path.name}': input '{name}' is no tensor")
        shape = [size if isinstance(size, int) else None for size in value.shape]
        specs.append(tensor_spec(str(name), numpy_name(value.dtype), shape))
    return tuple(specs)
