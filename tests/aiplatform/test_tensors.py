"""Data types, shapes, signatures."""

from __future__ import annotations

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec

SPEC = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 8, 8, 1))


@pytest.mark.parametrize("dtype", list(DType))
def test_every_type_has_a_numpy_and_a_tensorflow_name(dtype: DType) -> None:
    assert DType.of(dtype.numpy) is dtype
    assert dtype.tensorflow_name.startswith("DT_")


@pytest.mark.parametrize("text", ["U3", "S4", "object"])
def test_text_is_bytes(text: str) -> None:
    assert DType.of(text) is DType.BYTES


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]"])
def test_a_type_without_a_wire_form_is_refused(dtype: str) -> None:
    with pytest.raises(InvalidInputError, match=dtype.split("[")[0]):
        DType.of(dtype)


def test_a_free_dimension_takes_any_size() -> None:
    for rows in (0, 1, 7):
        SPEC.check(np.zeros((rows, 8, 8, 1), np.float32))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 8, 9, 1), (8, 8, 1), (1, 8, 8, 1, 1)])
def test_another_shape_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"\[-1, 8, 8, 1\]"):
        SPEC.check(np.zeros(shape, np.float32))


def test_another_type_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="float64"):
        SPEC.check(np.zeros((1, 8, 8, 1)))


def test_an_unknown_input_is_refused_with_the_names_there_are() -> None:
    signature = Signature(inputs=(SPEC,), outputs=())
    assert signature.input("image") is SPEC
    with pytest.raises(InvalidInputError, match="the inputs are: image"):
        signature.input("picture")
