"""PyTorch: exported programs (`torch.export`) and TorchScript, loaded without unpickling code.

`torch.export.load` would unpickle some things, and evaluates shape expressions and guards as Python. Full tensors are
forced to weights only; an archive that holds more than plain operators and shapes is refused, here as at
its import: what lies in a store need not have come through our import.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, InvalidInputError
from aiplatform.tensors import DType
from aiplatform.text_bytes import encode_text_inputs
from aiplatform.torch_archive import check_program, check_script
from inference.engines.arrays import named_outputs
from inference.engines.base import Arrays, EngineKind, EngineOptions

_SUFFIXES = {"torch_export": ".pt2", "torchscript": ".pt"}
_loading = threading.Lock()


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> TorchEngine:
    """Load a folder that holds one file, `*.pt2` or `*.pt` by its format.

    Raises: ArtifactError if it is not there, cannot be loaded or would run code when loaded.
    """
    if any(s.dtype is DType.BYTES and s.name not in manifest.text_bytes for s in manifest.signature.inputs):
        raise ArtifactError(
            f"{manifest.name}: PyTorch has no BYTES tensors; its signature takes some, and its manifest's text_bytes "
            "does not say how many bytes of them"
        )
    path = _model_file(model, manifest)
    with _loading:
        torch.set_num_threads(options.thread_count)
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        try:
            module = _load_exported(path) if manifest.model_format == "torch_export" else _load_script(path)
        except ArtifactError:
            raise
        except Exception as error:  # PyTorch raises many kinds for a broken file
            raise ArtifactError(f"{manifest.name} version {manifest.version} cannot be loaded: {error}") from error
    return TorchEngine(module, manifest)


def load_program(model: Path, manifest: Manifest) -> Any:
    """Return the model itself, an ExportedProgram or a ScriptModule, for conversion.

    Raises: ArtifactError as `open_engine`.
    """
    path = _model_file(model, manifest)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    if manifest.model_format != "torch_export":
        return _load_script(path)
    _refuse_code(path, check_program)
    return torch.export.load(path)


class TorchEngine:
    """One module in memory; inputs go in by position, in the signature's order."""

    name = EngineKind.TORCH
    releases_gil = True
    concurrency = 4

    def __init__(self, module: Any, manifest: Manifest) -> None:
        self._module: Any = module
        self._manifest = manifest
        self._inputs = [spec.name for spec in manifest.computed.inputs]
        self._outputs = [spec.name for spec in manifest.computed.outputs]

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order."""
        given = encode_text_inputs(inputs, self._manifest.text_bytes)
        tensors = [_tensor(given[name]) for name in self._inputs]
        result = self._call(tensors)
        if isinstance(result, Mapping):
            return {name: result[name].numpy() for name in self._outputs}
        values = result if isinstance(result, tuple | list) else (result,)
        return named_outputs(self._manifest.name, self._outputs, [value.numpy() for value in values])

    def close(self) -> None:
        """Let go of the weights."""
        self._module = None

    def _call(self, tensors: list[Any]) -> Any:
        with torch.inference_mode():
            return self._module(*tensors)


def _tensor(array: np.ndarray[Any, Any]) -> Any:
    # PyTorch warns of arrays that it could not write to; the copy is what keeps callers' arrays theirs.
    return torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else array.copy())


def _model_file(model: Path, manifest: Manifest) -> Path:
    suffix = _SUFFIXES[manifest.model_format]
    files = sorted(model.glob(f"*{suffix}"))
    if len(files) != 1:
        raise ArtifactError(f"{manifest.name}: model/ must hold one *{suffix} file, not {len(files)}")
    return files[0]


def _load_exported(path: Path) -> Any:
    _refuse_code(path, check_program)
    return torch.export.load(path).module()


def _load_script(path: Path) -> Any:
    _refuse_code(path, check_script)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is; models in it still exist
        return torch.jit.load(str(path), map_location="cpu").eval()


def _refuse_code(path: Path, check: Callable[[Path], None]) -> None:
    try:
        check(path)
    except InvalidInputError as error:
        raise ArtifactError(error.message) from error
