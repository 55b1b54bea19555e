"""The tensors of gRPC messages: raw contents, and the typed fields that both protocols have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import TensorSpec
from inference.protocols.binary_tensors import array_from_bytes, check_size
from inference.protocols.json_arrays import check_shape
from inference.protocols.messages import Array


def check_sizes(shape: list[int], spec: TensorSpec) -> int:
    """Return how many elements a shape has; called before anything of that size is made.

    Raises: InvalidInputError unless it fits and every dimension is at least 1.
    """
    check_shape(shape, spec)
    for size in shape:
        if size < 1:
            raise InvalidInputError(f"tensor '{spec.name}': every dimension must be at least 1, not {shape}")
    return math.prod(shape)


def array_from_raw(raw: bytes, shape: list[int], spec: TensorSpec) -> Array:
    """Return a view of raw bytes as an array.

    Raises: InvalidInputError naming the tensor, the rule and the value.
    """
    check_sizes(shape, spec)
    check_size(len(raw), shape, spec)
    return array_from_bytes(raw, 0, len(raw), shape, spec)


def bytes_of(array: Array) -> list[bytes]:
    """Return the elements of a BYTES array."""
    return [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel().tolist()]


def array_of_bytes(values: Sequence[bytes], shape: list[int]) -> Array:
    """Return a BYTES array: objects, each `bytes`."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def array_from_values(values: Any, shape: list[int], spec: TensorSpec) -> Array:
    """Return an array from a message's repeated field, which may be of a wider type.

    Raises: InvalidInputError if a number is out of the type's range.
    """
    wide = np.array(values)
    dtype = spec.dtype.numpy
    if dtype.kind in "iu" and wide.dtype != dtype:
        limits = np.iinfo(dtype)
        low, high = wide.min(), wide.max()
        if low < limits.min or high > limits.max:
            found = low if low < limits.min else high
            raise InvalidInputError(f"tensor '{spec.name}': {found} is out of range for {spec.dtype.value}")
    return wide.astype(dtype, copy=False).reshape(shape)
