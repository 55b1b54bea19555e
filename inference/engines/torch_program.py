"""PyTorch: exported programs (`torch.export`) and TorchScript, loaded without unpickling code.

`torch.export.load` would unpickle some things: full tensors with `weights_only=False`, and
custom objects. The first is forced to weights only, an archive with the second is refused.
"""

from __future__ import annotations

import json
import os
import threading
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType
from inference.engines.arrays import named_outputs
from inference.engines.base import Arrays, EngineKind, EngineOptions

_SUFFIXES = {"torch_export": ".pt2", "torchscript": ".pt"}
_UNPICKLED = ("custom_obj_", "opaque_obj_")  # torch.export.pt2_archive: constants read by pickle
_CONSTANTS_CONFIG = "_constants_config.json"
_loading = threading.Lock()


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> TorchEngine:
    """Load a folder that holds one file, `*.pt2` or `*.pt` by its format.

    Raises: ArtifactError if it is not there, cannot be loaded or would run code when loaded.
    """
    if any(spec.dtype is DType.BYTES for spec in manifest.signature.inputs):
        raise ArtifactError(f"{manifest.name}: PyTorch has no BYTES tensors, but its signature takes some")
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
    _refuse_pickled_objects(path)
    return torch.export.load(path)


class TorchEngine:
    """One module in memory; inputs go in by position, in the signature's order."""

    name = EngineKind.TORCH
    releases_gil = True
    concurrency = 4

    def __init__(self, module: Any, manifest: Manifest) -> None:
        self._module: Any = module
        self._manifest = manifest
        self._inputs = [spec.name for spec in manifest.signature.inputs]

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order."""
        tensors = [_tensor(inputs[name]) for name in self._inputs]
        result = self._call(tensors)
        if isinstance(result, Mapping):
            return {spec.name: result[spec.name].numpy() for spec in self._manifest.signature.outputs}
        values = result if isinstance(result, tuple | list) else (result,)
        return named_outputs(self._manifest, [value.numpy() for value in values])

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
    _refuse_pickled_objects(path)
    return torch.export.load(path).module()


def _load_script(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is; models in it still exist
        return torch.jit.load(str(path), map_location="cpu").eval()


def _refuse_pickled_objects(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith(_CONSTANTS_CONFIG):
                continue
            constants = json.loads(archive.read(name)).get("config", {})
            for constant, payload in constants.items():
                if str(payload.get("path_name", "")).startswith(_UNPICKLED):
                    raise ArtifactError(f"{path.name} holds a pickled object ('{constant}') and is not loaded")
