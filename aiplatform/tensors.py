"""What goes into a model and what comes out: data types, shapes and names.

Names of types follow the Open Inference Protocol (V2), since clients already speak it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import ml_dtypes
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
    BF16 = "BF16"
    BYTES = "BYTES"

    @property
    def numpy(self) -> np.dtype[Any]:
        """Return the numpy type; BYTES is an object array of `bytes` or `str`."""
        return _NUMPY_TYPES[self]

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
        member = _BY_NUMPY_TYPE.get(kind)
        if member is None:
            raise InvalidInputError(f"no tensor type stands for numpy dtype '{kind}'")
        return member


_NUMPY_TYPES: dict[DType, np.dtype[Any]] = {
    DType.BOOL: np.dtype("bool"),
    DType.UINT8: np.dtype("uint8"),
    DType.UINT16: np.dtype("uint16"),
    DType.UINT32: np.dtype("uint32"),
    DType.UINT64: np.dtype("uint64"),
    DType.INT8: np.dtype("int8"),
    DType.INT16: np.dtype("int16"),
    DType.INT32: np.dtype("int32"),
    DType.INT64: np.dtype("int64"),
    DType.FP16: np.dtype("float16"),
    DType.FP32: np.dtype("float32"),
    DType.FP64: np.dtype("float64"),
    DType.BF16: np.dtype(ml_dtypes.bfloat16),
    DType.BYTES: np.dtype("object"),
}
_BY_NUMPY_TYPE = {kind: member for member, kind in _NUMPY_TYPES.items()}
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
    DType.BF16: "DT_BFLOAT16",
    DType.BYTES: "DT_STRING",
}


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One named input or output; the first dimension is the batch."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        """Say whether a shape has this rank and this size in every dimension that is not free."""
        if len(shape) != len(self.shape):
            return False
        for want, have in zip(self.shape, shape, strict=True):  # noqa: SIM110  on the way of each prediction
            if want not in (FREE, have):
                return False
        return True

    def check(self, array: np.ndarray[Any, Any]) -> None:
        """Raise InvalidInputError unless `array` has this type and a shape that fits."""
        if array.dtype != self.dtype.numpy:
            raise InvalidInputError(f"tensor '{self.name}' must be {self.dtype.value}, not numpy dtype '{array.dtype}'")
        if not self.fits(array.shape):
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
        raise InvalidInputError(f"no input is named '{name}'; the inputs are: {known}")
