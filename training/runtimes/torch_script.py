"""TorchScript files: the inputs' shapes are not in them and must be given."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.torch_archive import check_script
from training.runtimes.base import ModelForm, RuntimeOptions, reading
from training.runtimes.files import FILES
from training.runtimes.saved_model import DEFAULT_SIGNATURE
from training.runtimes.torch_tensors import call_module, refuse_texts, set_threads

FILE = FILES[ModelForm.TORCHSCRIPT]


def open_model(path: Path, options: RuntimeOptions) -> TorchScriptRuntime:
    """Load a TorchScript archive onto the processor."""
    with reading(f"'{path.name}' cannot be read as TorchScript"):
        check_script(path)
        if not options.given.inputs:
            raise InvalidInputError(
                f"'{path.name}' is TorchScript, which does not say its inputs' shapes; give them with "
                "--signature FILE.json"
            )
        import torch

        set_threads(options.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is; models in it still exist
            module = torch.jit.load(str(path), map_location="cpu").eval()
        return TorchScriptRuntime(path, module, options)


class TorchScriptRuntime:
    """One script module; its inputs go in by place."""

    signature_name = DEFAULT_SIGNATURE

    def __init__(self, path: Path, module: Any, options: RuntimeOptions) -> None:
        self._path, self.module = path, module
        self.inputs, self.outputs = options.given.inputs, options.given.outputs
        refuse_texts(self.inputs)
        taken = len(module.forward.schema.arguments) - 1  # the first is the module itself
        if taken != len(self.inputs):
            raise InvalidInputError(f"'{path.name}' takes {taken} inputs; --signature has {len(self.inputs)}")

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        return call_module(self.module, inputs, [spec.name for spec in self.inputs], self.outputs)

    def save(self, folder: Path) -> None:
        """Copy the file."""
        shutil.copyfile(self._path, folder / FILE)
