"""Arrays to PyTorch and back, and what a module returned as named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, TensorSpec


def call_module(module: Any, inputs: Arrays, order: list[str], outputs: tuple[TensorSpec, ...]) -> Arrays:
    """Return a module's answers by name: the given names, else the keys that it returns, else numbers."""
    import torch

    with torch.inference_mode():
        result = module(*(torch.from_numpy(np.array(inputs[name])) for name in order))
    if isinstance(result, Mapping):
        names = [spec.name for spec in outputs] or [str(name) for name in result]
        missing = [name for name in names if name not in result]
        if missing:
            raise InvalidInputError(f"the model returns {sorted(map(str, result))}, and no '{missing[0]}'")
        return {name: _array(name, result[name]) for name in names}
    values = list(result) if isinstance(result, tuple | list) else [result]
    numbered = ["output"] if len(values) == 1 else [f"output_{i}" for i in range(len(values))]
    names = [spec.name for spec in outputs] or numbered
    if len(names) != len(values):
        raise InvalidInputError(f"the model returns {len(values)} outputs; --signature names {len(names)}")
    return {name: _array(name, value) for name, value in zip(names, values, strict=True)}


def numpy_name(dtype: Any) -> str:
    """Return numpy's name of a PyTorch type ('torch.float32' becomes 'float32')."""
    return str(dtype).removeprefix("torch.")


def refuse_texts(inputs: tuple[TensorSpec, ...]) -> None:
    """Raise InvalidInputError if an input is of texts, which PyTorch has no tensors for."""
    for spec in inputs:
        if spec.dtype is DType.BYTES:
            raise InvalidInputError(f"input '{spec.name}' is BYTES; PyTorch has no such tensors")


def set_threads(threads: int) -> None:
    """Have PyTorch compute with so many threads."""
    import torch

    if threads > 0:
        torch.set_num_threads(threads)


def _array(name: str, value: Any) -> Any:
    if not hasattr(value, "numpy"):
        raise InvalidInputError(f"output '{name}' is a {type(value).__name__}; only tensors can be served")
    return value.numpy()
