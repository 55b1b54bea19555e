"""The steps for each engine: which engines are tried for which artifact, and how each is made."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import PlatformError
from inference.engines import EngineKind, native_kind

Convert = Callable[[Path, Manifest, Path], None]

# module:function of what writes an engine's files; empty: the engine reads the artifact's own.
_STEPS: dict[EngineKind, dict[EngineKind, str]] = {
    EngineKind.TENSORFLOW: {
        EngineKind.TENSORFLOW_XLA: "",
        EngineKind.ONNXRUNTIME: "inference.compiling.convert_tensorflow:to_onnx",
        EngineKind.LITERT: "inference.compiling.convert_tensorflow:to_litert",
    },
    EngineKind.TORCH: {
        EngineKind.ONNXRUNTIME: "inference.compiling.convert_torch:to_onnx",
        EngineKind.AOT_INDUCTOR: "inference.compiling.convert_torch:to_inductor",
    },
}
# Their number of threads belongs to the process and cannot be changed once they have computed.
PROCESS_WIDE_THREADS = frozenset({EngineKind.TENSORFLOW, EngineKind.TENSORFLOW_XLA})


class SkippedError(PlatformError):
    """An engine is not for this model or this machine; the message says why."""


def candidate_kinds(manifest: Manifest) -> tuple[EngineKind, ...]:
    """Return the engines to try for an artifact, its own first.

    Raises: ArtifactError if no engine reads its format.
    """
    native = native_kind(manifest)
    return (native, *_STEPS.get(native, {}))


def possible_engines(framework: str) -> tuple[EngineKind, ...]:
    """Return the engines that versions of a framework may be served by; empty for an unknown one."""
    native = {"tensorflow": EngineKind.TENSORFLOW, "torch": EngineKind.TORCH, "onnx": EngineKind.ONNXRUNTIME}.get(
        framework, EngineKind(framework) if framework in set(EngineKind) else None
    )
    return () if native is None else (native, *_STEPS.get(native, {}))


def convert_model(kind: EngineKind, folder: Path, manifest: Manifest, out: Path) -> Path:
    """Return the folder of the files that an engine reads, converted into `out` where need be.

    Raises: SkippedError; and whatever a converter raises.
    """
    native = native_kind(manifest)
    step = _STEPS.get(native, {}).get(kind, "")
    if not step:
        return folder / "model"
    module, _, function = step.partition(":")
    convert: Convert = getattr(importlib.import_module(module), function)
    out.mkdir(parents=True, exist_ok=True)
    convert(folder / "model", manifest, out)
    return out


def reads_own_files(manifest: Manifest, kind: EngineKind) -> bool:
    """Say whether an engine reads the artifact's own files, so that a pack holds none for it."""
    return not _STEPS.get(native_kind(manifest), {}).get(kind, "")
