"""Engines run a batch: the one place where a learning framework meets serving.

A framework is imported when its first model is loaded, never before; a process whose versions all
run on ONNX Runtime or LiteRT imports none. A new engine is one module, one kind and one line here.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, InvalidConfigurationError
from inference.engines.base import Array, Arrays, Engine, EngineKind, EngineOptions

__all__ = ["Array", "Arrays", "Engine", "EngineKind", "EngineOptions", "load_engine", "native_kind", "open_engine"]

# What reads an artifact's own format, by (framework, model_format).
_NATIVE = {
    ("tensorflow", "saved_model"): EngineKind.TENSORFLOW,
    ("torch", "torch_export"): EngineKind.TORCH,
    ("torch", "torchscript"): EngineKind.TORCH,
    ("onnx", "onnx"): EngineKind.ONNXRUNTIME,
    ("litert", "litert"): EngineKind.LITERT,
    ("remote", "remote"): EngineKind.REMOTE,
}
# A module with `open_engine(model, manifest, options) -> Engine`; `model` is the folder of the model's files.
_MODULES = {
    EngineKind.TENSORFLOW: "inference.engines.saved_model",
    EngineKind.TENSORFLOW_XLA: "inference.engines.xla",
    EngineKind.ONNXRUNTIME: "inference.engines.onnx_runtime",
    EngineKind.LITERT: "inference.engines.lite_rt",
    EngineKind.TORCH: "inference.engines.torch_program",
    EngineKind.AOT_INDUCTOR: "inference.engines.inductor",
    EngineKind.REMOTE: "inference.engines.remote",
}


def native_kind(manifest: Manifest) -> EngineKind:
    """Return what runs an artifact's own format.

    Raises: ArtifactError if nothing does.
    """
    kind = _NATIVE.get((manifest.framework, manifest.model_format))
    if kind is None:
        known = ", ".join(f"{framework}/{form}" for framework, form in _NATIVE)
        raise ArtifactError(
            f"no engine runs {manifest.framework}/{manifest.model_format} "
            f"({manifest.name} version {manifest.version}); the engines run: {known}"
        )
    return kind


def load_engine(folder: Path, manifest: Manifest, options: EngineOptions | None = None) -> Engine:
    """Return the engine of the artifact's own format, in a local, verified folder.

    Raises: ArtifactError if no engine reads its format or the model cannot be loaded;
    InvalidConfigurationError if the framework is not installed.
    """
    return open_engine(native_kind(manifest), folder / "model", manifest, options)


def open_engine(kind: EngineKind, model: Path, manifest: Manifest, options: EngineOptions | None = None) -> Engine:
    """Return an engine for the files in a folder, in the format that its kind reads.

    Raises: as `load_engine`.
    """
    try:
        module = importlib.import_module(_MODULES[kind])
    except ModuleNotFoundError as error:
        raise InvalidConfigurationError(
            f"{manifest.name} version {manifest.version} needs '{error.name}', which is not installed here"
        ) from error
    engine: Engine = module.open_engine(model, manifest, options or EngineOptions())
    return engine
