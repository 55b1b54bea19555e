"""Engines run a batch: the one place where a learning framework meets serving.

A framework is imported when its first model is loaded, never before. A new engine (ONNX Runtime,
LiteRT, a remote server) is one module and one line in `_ENGINES`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, InvalidConfigurationError
from inference.engines.base import Arrays, Engine, EngineOptions

__all__ = ["Arrays", "Engine", "EngineOptions", "load_engine"]

# (framework, model_format): module and function `open_engine(folder, manifest, options) -> Engine`
_ENGINES = {
    ("tensorflow", "saved_model"): "inference.engines.saved_model",
    ("torch", "torch_export"): "inference.engines.torch_program",
    ("torch", "torchscript"): "inference.engines.torch_program",
}


def load_engine(folder: Path, manifest: Manifest, options: EngineOptions | None = None) -> Engine:
    """Return an engine for the artifact in a local, verified folder.

    Raises: ArtifactError if no engine reads its format or the model cannot be loaded;
    InvalidConfigurationError if the framework is not installed.
    """
    module_name = _ENGINES.get((manifest.framework, manifest.model_format))
    if module_name is None:
        known = ", ".join(f"{framework}/{form}" for framework, form in _ENGINES)
        raise ArtifactError(
            f"no engine runs {manifest.framework}/{manifest.model_format} "
            f"({manifest.name} version {manifest.version}); the engines run: {known}"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InvalidConfigurationError(
            f"{manifest.name} version {manifest.version} needs '{error.name}', which is not installed here"
        ) from error
    engine: Engine = module.open_engine(folder, manifest, options or EngineOptions())
    return engine
