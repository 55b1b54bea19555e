"""The formats' own runtimes: what opens a model file and computes with it, while importing and exporting.

A framework is imported when a file of its format is opened, never before. Users' files are opened
in a process of their own only (`training.children`).
"""

from __future__ import annotations

import importlib
from pathlib import Path

from aiplatform.errors import InvalidConfigurationError
from training.runtimes.base import ModelForm, Runtime, RuntimeOptions

__all__ = ["ModelForm", "Runtime", "RuntimeOptions", "open_runtime"]

# module and function `open_model(path, options) -> Runtime`
_MODULES = {
    ModelForm.SAVED_MODEL: "training.runtimes.saved_model",
    ModelForm.KERAS: "training.runtimes.keras_file",
    ModelForm.ONNX: "training.runtimes.onnx_file",
    ModelForm.TORCH_EXPORT: "training.runtimes.torch_program",
    ModelForm.TORCHSCRIPT: "training.runtimes.torch_script",
    ModelForm.LITERT: "training.runtimes.litert_file",
    ModelForm.REMOTE: "training.runtimes.remote",
}


def open_runtime(form: ModelForm, path: Path, options: RuntimeOptions | None = None) -> Runtime:
    """Return a loaded model.

    Raises: InvalidInputError if the file is not of the form, would run code when it is loaded, or
    has no usable signature; InvalidConfigurationError if the framework is not installed.
    """
    try:
        module = importlib.import_module(_MODULES[form])
    except ModuleNotFoundError as error:
        raise InvalidConfigurationError(
            f"a model of format '{form}' needs '{error.name}', which is not installed"
        ) from error
    runtime: Runtime = module.open_model(path, options or RuntimeOptions())
    return runtime
