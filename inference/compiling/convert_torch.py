"""Exported programs and TorchScript to ONNX, and exported programs to machine code.

Runs in the compiling process only. Models are loaded as the engine loads them: nothing is unpickled.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Manifest
from aiplatform.tensors import FREE, TensorSpec
from inference.compiling.steps import SkippedError
from inference.engines import inductor, onnx_runtime
from inference.engines.torch_program import load_program

OPSET = 18
_COMPILERS = ("g++", "clang++", "c++")


def to_onnx(model: Path, manifest: Manifest, out: Path) -> None:
    """Export with torch.onnx under the signature's names.

    Raises: whatever the exporter raises for an operation that it does not know.
    """
    import torch

    program = load_program(model, manifest)
    names = {
        "input_names": [spec.name for spec in manifest.computed.inputs],
        "output_names": [spec.name for spec in manifest.computed.outputs],
    }
    target = str(out / onnx_runtime.MODEL_FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is deprecated; models in it still exist
        if manifest.model_format == "torch_export":
            exported: Any = torch.onnx.export(program, (), dynamo=True, verbose=False, external_data=False, **names)
            _tell_apart(exported.model)
            exported.save(target)
        else:
            examples = tuple(torch.from_numpy(_example(spec)) for spec in manifest.computed.inputs)
            axes = {spec.name: _free_axes(spec) for spec in (*manifest.computed.inputs, *manifest.computed.outputs)}
            torch.onnx.export(
                program, examples, target, dynamo=False, opset_version=OPSET, dynamic_axes=axes, **names
            )  # fmt: skip


def _tell_apart(model: Any) -> None:
    """Rename what is computed on the way and is called as an output is: `nn.Embedding` makes an `embedding`, too."""
    from onnx_ir.passes.common import NameFixPass

    NameFixPass()(model)


def to_inductor(model: Path, manifest: Manifest, out: Path) -> None:
    """Compile ahead of time with AOTInductor.

    Raises: SkippedError for TorchScript, and where there is no C++ compiler.
    """
    import torch

    if manifest.model_format != "torch_export":
        raise SkippedError("AOTInductor compiles exported programs only, not TorchScript")
    if not any(map(shutil.which, _COMPILERS)):
        raise SkippedError("AOTInductor needs a C++ compiler (g++), and none is installed here")
    program = load_program(model, manifest)
    torch._inductor.aoti_compile_and_package(program, package_path=str(out / inductor.MODEL_FILE))


def _example(spec: TensorSpec) -> np.ndarray[Any, Any]:
    return np.zeros([2 if size == FREE else size for size in spec.shape], spec.dtype.numpy)


def _free_axes(spec: TensorSpec) -> dict[int, str]:
    return {axis: f"{spec.name}_{axis}" if axis else "rows" for axis, size in enumerate(spec.shape) if size == FREE}
