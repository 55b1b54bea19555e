"""What goes into a model and what comes out: data types, shapes and names.

Names of types follow the Open Inference Protocol (V2), since clients already speak it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError

FREE = -1  # a dimension that each request chooses


class DType(StrEnum):
    """Element types, by their V2 names."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def numpy(self) -> np.dtype[Any]:
        """Return the numpy type; BYTES is an object array of `bytes` or `str`."""
        return np.dtype(_NUMPY_NAMES[self])

    @property
    def tensorflow_name(self) -> str:
        """Return the name that TF Serving's metadata uses, for example DT_FLOAT."""
        return _TENSORFLOW_NAMES[self]

    @classmethod
    def of(cls, dtype: np.dtype[Any] | str) -> DType:
        """Return the type for a numpy dtype.

        Raises: InvalidInputError if no wire type stands for it.
        """
        kind = np.dtype(dtype)
        if kind.kind in "OUST":
            return cls.BYTES
        member = _BY_NUMPY.get(kind)
        if member is None:
            raise InvalidInputError(f"no tensor type stands for numpy dtype '{kind}'")
        return member


_NUMPY_NAMES = {
    DType.BOOL: "bool",
    DType.UINT8: "uint8",
    DType.UINT16: "uint16",
    DType.UINT32: "uint32",
    DType.UINT64: "uint64",
    DType.INT8: "int8",
    DType.INT16: "int16",
    DType.INT32: "int32",
    DType.INT64: "int64",
    DType.FP16: "float16",
    DType.FP32: "float32",
    DType.FP64: "float64",
    DType.BYTES: "object",
}
_BY_NUMPY = {np.dtype(name): member for member, name in _NUMPY_NAMES.items()}
_TENSORFLOW_NAMES = {
    DType.BOOL: "DT_BOOL",
    DType.UINT8: "DT_UINT8",
    DType.UINT16: "DT_UINT16",
    DType.UINT32: "DT_UINT32",
    DType.UINT64: "DT_UINT64",
    DType.INT8: "DT_INT8",
    DType.INT16: "DT_INT16",
    DType.INT32: "DT_INT32",
    DType.INT64: "DT_INT64",
    DType.FP16: "DT_HALF",
    DType.FP32: "DT_FLOAT",
    DType.FP64: "DT_DOUBLE",
    DType.BYTES: "DT_STRING",
}


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One named input or output; the first dimension is the batch."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    def check(self, array: np.ndarray[Any, Any]) -> None:
        """Raise InvalidInputError unless `array` has this type and a shape that fits."""
        if array.dtype != self.dtype.numpy:
            raise InvalidInputError(f"tensor '{self.name}' must be {self.dtype.value}, not numpy dtype '{array.dtype}'")
        fits = len(array.shape) == len(self.shape) and all(
            want in (FREE, have) for want, have in zip(self.shape, array.shape, strict=False)
        )
        if not fits:
            raise InvalidInputError(
                f"tensor '{self.name}' must have shape {list(self.shape)} (-1: any), not {list(array.shape)}"
            )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The named inputs and outputs of a model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    name: str = "serving_default"

    def input(self, name: str) -> TensorSpec:
        """Return the input of that name.

        Raises: InvalidInputError naming the inputs there are.
        """
        for spec in self.inputs:
            if spec.name == name:
                return spec
        known = ", ".join(spec.name for spec in self.inputs)
        raise InvalidInputError(f"no input is named '{name:.80}'; the inputs are: {known}")
