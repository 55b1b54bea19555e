"""PyTorch's AOTInductor: an exported program compiled to machine code ahead of time.

The package holds a shared library. It comes from an engine pack, whose checksums were verified;
an artifact's own model is never loaded this way.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from inference.engines.base import EngineKind, EngineOptions
from inference.engines.torch_program import TorchEngine

MODEL_FILE = "model.pt2"
_loading = threading.Lock()


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> InductorEngine:
    """Load the package `model.pt2`.

    Raises: ArtifactError if it is not there or was compiled for another PyTorch or processor.
    """
    with _loading:
        torch.set_num_threads(options.thread_count)
        try:
            module = torch._inductor.aoti_load_package(str(model / MODEL_FILE))
        except Exception as error:  # PyTorch raises many kinds for a broken file
            raise ArtifactError(f"{manifest.name} version {manifest.version} cannot be loaded: {error}") from error
    return InductorEngine(module, manifest)


class InductorEngine(TorchEngine):
    """One compiled package in memory."""

    name = EngineKind.AOT_INDUCTOR

    def _call(self, tensors: list[Any]) -> Any:
        return self._module(*tensors)
