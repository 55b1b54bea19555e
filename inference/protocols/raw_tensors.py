"""Arrays as raw little-endian bytes and back, and what gRPC's typed fields share; nothing is copied.

BYTES elements are a length (4 bytes, little-endian) and the bytes, one after the other.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, TensorSpec
from inference.protocols.json_arrays import check_shape
from inference.protocols.messages import Array

_LENGTH = struct.Struct("<I")


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
    count = check_sizes(shape, spec)
    if spec.dtype is DType.BYTES:
        return array_of_bytes(_split(raw, count, spec), shape)
    dtype = spec.dtype.numpy.newbyteorder("<")
    if len(raw) != count * dtype.itemsize:
        raise InvalidInputError(
            f"tensor '{spec.name}': shape {shape} of {spec.dtype.value} needs {count * dtype.itemsize} bytes, "
            f"not {len(raw)}"
        )
    if spec.dtype is DType.BOOL and np.frombuffer(raw, np.uint8).max() > 1:
        raise InvalidInputError(f"tensor '{spec.name}': a BOOL is the byte 0 or 1")
    return np.frombuffer(raw, dtype).reshape(shape)


def raw_from_array(array: Array) -> bytes:
    """Return an array's elements in row-major order."""
    if array.dtype.kind in "OSU":
        texts = bytes_of(array)
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


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


def _split(raw: bytes, count: int, spec: TensorSpec) -> list[bytes]:
    if len(raw) < count * _LENGTH.size:
        raise InvalidInputError(f"tensor '{spec.name}': {count} BYTES elements need more than {len(raw)} bytes")
    values: list[bytes] = []
    position = 0
    while len(values) < count:
        start = position + _LENGTH.size
        stop = start + _LENGTH.unpack_from(raw, position)[0] if start <= len(raw) else start
        if stop > len(raw):
            raise InvalidInputError(
                f"tensor '{spec.name}': BYTES element {len(values)} ends at byte {stop}, after the last of {len(raw)}"
            )
        values.append(raw[start:stop])
        position = stop
    if position != len(raw):
        raise InvalidInputError(f"tensor '{spec.name}': {len(raw) - position} bytes follow the last BYTES element")
    return values
