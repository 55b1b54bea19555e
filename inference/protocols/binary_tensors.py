"""Raw tensor bytes to arrays and back: V2's binary tensor data extension.

Numbers lie in little-endian, row-major order and are read where they are. An element of BYTES is
its length as 4 little-endian bytes, then the element. Sizes are checked before anything is made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, DType, TensorSpec
from inference.protocols.messages import Array

HEAD_SIZE_HEADER = "Inference-Header-Content-Length"
LENGTH_BYTES = 4  # before each element of BYTES

_BYTES, _BOOL = DType.BYTES, DType.BOOL  # looking a member up on its class takes longer than reading a tensor


def read_head_size(text: str, body_size: int) -> int | None:
    """Return how many bytes of a body are its JSON part; None if the header is not there.

    Raises: InvalidInputError unless it is a whole number within the body.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= body_size):
        raise InvalidInputError(
            f"{HEAD_SIZE_HEADER} is the size of the body's JSON part, from 0 to the body's {body_size} bytes, "
            f"not '{text:.40}'"
        )
    return int(text)


def check_size(size_bytes: int, shape: list[int], spec: TensorSpec) -> None:
    """Raise InvalidInputError unless so many bytes can hold a tensor of that shape."""
    elements = math.prod(shape)
    if spec.dtype is _BYTES:
        if size_bytes < elements * LENGTH_BYTES:
            raise InvalidInputError(
                f"tensor '{spec.name}': shape {shape} needs at least {elements * LENGTH_BYTES} bytes, not {size_bytes}"
            )
    elif size_bytes != elements * spec.dtype.numpy.itemsize:
        raise InvalidInputError(
            f"tensor '{spec.name}': {spec.dtype.value} of shape {shape} needs "
            f"{elements * spec.dtype.numpy.itemsize} bytes, not {size_bytes}"
        )


def array_from_bytes(body: bytes, start: int, size_bytes: int, shape: list[int], spec: TensorSpec) -> Array:
    """Return the tensor that lies in `body` from `start`; its size was checked.

    The array is read-only and shares the body's memory where that is aligned for its type.
    Raises: InvalidInputError for BYTES that are cut wrongly, or a BOOL that is neither 0 nor 1.
    """
    if spec.dtype is _BYTES:
        return _elements(body, start, start + size_bytes, spec.name, math.prod(shape)).reshape(shape)
    kind = spec.dtype.numpy
    if size_bytes == 0:
        return np.empty(shape, kind)
    array = np.frombuffer(body, kind, size_bytes // kind.itemsize, start)
    if not array.flags.aligned:  # engines read words of their own size; bytes are copied far faster than such words
        array = np.frombuffer(body[start : start + size_bytes], kind)
    if spec.dtype is _BOOL and array.view(np.uint8).max() > 1:
        raise InvalidInputError(f"tensor '{spec.name}': a BOOL is the byte 0 or 1, not {array.view(np.uint8).max()}")
    return array.reshape(shape)


def array_from_raw_body(body: bytes, spec: TensorSpec) -> Array:
    """Return the one input that a whole body is: the signature says all but the number of rows.

    A body for BYTES is one element, without its length.
    Raises: InvalidInputError if more than the rows is free, or the body is no whole number of rows.
    """
    shape = list(spec.shape)
    if spec.dtype is _BYTES:
        shape = [1 if size == FREE else size for size in shape]
        if math.prod(shape) != 1:
            raise InvalidInputError(f"tensor '{spec.name}': a raw body is one element of BYTES, not shape {shape}")
        array = np.empty(1, dtype=object)
        array[0] = body
        return array.reshape(shape)
    if FREE in shape[1:]:
        raise InvalidInputError(
            f"tensor '{spec.name}' has free dimensions beside its rows ({shape}), so a raw body does not say its shape"
        )
    if shape[:1] == [FREE]:
        shape[0] = len(body) // max(1, math.prod(shape[1:]) * spec.dtype.numpy.itemsize)
    check_size(len(body), shape, spec)
    return array_from_bytes(body, 0, len(body), shape, spec)


def bytes_from_array(array: Array) -> bytes:
    """Return the array as it travels, whatever its layout in memory."""
    if array.dtype.kind in "OUST":
        return b"".join([_element(value) for value in array.reshape(-1).tolist()])
    return array.tobytes()


def _elements(body: bytes, start: int, end: int, name: str, count: int) -> Array:
    values: list[bytes] = []
    at = start
    for index in range(count):
        first = at + LENGTH_BYTES
        at = first + int.from_bytes(body[at:first], "little")
        if first > end or at > end:
            raise InvalidInputError(
                f"tensor '{name}': element {index} of {count} ends beyond the tensor's {end - start} bytes"
            )
        values.append(body[first:at])
    if at != end:
        raise InvalidInputError(f"tensor '{name}': {end - at} bytes are left after its {count} elements")
    array = np.empty(count, dtype=object)
    array[:] = values
    return array


def _element(value: Any) -> bytes:
    raw = value if isinstance(value, bytes) else str(value).encode()
    return len(raw).to_bytes(LENGTH_BYTES, "little") + raw
