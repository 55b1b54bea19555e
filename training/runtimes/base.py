"""What a model file is, once it is open, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.tensors import TensorSpec


class ModelForm(StrEnum):
    """The formats that can be brought in; the value is what `--format` takes."""

    SAVED_MODEL = "saved_model"
    KERAS = "keras"
    ONNX = "onnx"
    TORCH_EXPORT = "torch_export"
    TORCHSCRIPT = "torchscript"
    LITERT = "litert"
    REMOTE = "remote"


@dataclass(frozen=True, kw_only=True)
class GivenSignature:
    """What people say of inputs and outputs; empty: as the model says. `outputs` may choose and order."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """How to open a model. `threads` 0 leaves the choice to the framework."""

    given: GivenSignature = field(default_factory=GivenSignature)
    signature_name: str = ""
    threads: int = 0


class Runtime(Protocol):
    """A loaded model. `outputs` is empty where only running it tells them."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signature_name: str

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in their order; texts are arrays of objects."""

    def save(self, folder: Path) -> None:
        """Write the model into an artifact's empty `model/` folder."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a framework raises for a broken file into one sentence about it."""
    try:
        yield
    except (PlatformError, MemoryError):
        raise
    except Exception as error:  # frameworks raise many kinds
        raise InvalidInputError(f"{what}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return a framework's error on one line of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
