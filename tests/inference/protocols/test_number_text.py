"""The quick reader of numbers gives exactly what the strict one gives, or leaves the text to it."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols import json_arrays
from inference.protocols.json_body import load
from inference.protocols.number_text import NumberText, is_available, parse_lifting, read_numbers, shape_of
from inference.protocols.open_inference import decode_infer
from inference.protocols.tf_serving import decode_predict

patient = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
quick = pytest.mark.skipif(not is_available(), reason="pysimdjson is not installed")
IMAGE = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 28, 28, 1))

NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-200, 300).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "-0", "-0.0", "1E5", "1e-7", "255.0", "01", "1.", "+1", "1e400", "NaN", "null", "true"]),
)
TEXTS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.tuples(inner, st.integers(1, 3)).map(lambda pair: f"[{','.join([pair[0]] * pair[1])}]"),
    ),
    max_leaves=9,
)


def strict(text: str, spec: TensorSpec) -> np.ndarray[Any, Any] | None:
    try:
        return json_arrays.array_from_nested(load(text.encode()), spec)
    except InvalidInputError:
        return None


@patient
@given(TEXTS, st.integers(1, 3), st.sampled_from(list(DType)))
@example("[[1],[]]", 2, DType.FP32)
@example("[1[2]]", 2, DType.FP32)
@example("[1[,]2]", 2, DType.FP32)
@example("[[1,2],[3]]", 2, DType.FP32)
@example("[[1,2][3,4]]", 2, DType.FP32)
@example("[[[1]]]", 2, DType.FP32)
@example("[]", 1, DType.FP32)
@example("[1] [2]", 1, DType.FP32)
@example("[128, -129]", 1, DType.INT8)
@example("[-1]", 1, DType.UINT64)
@example("[18446744073709551615]", 1, DType.UINT64)
@example("[65520.0]", 1, DType.FP16)
@example("[16777217, 9007199254740993]", 1, DType.FP32)
@example("[9007199254740993, 18446744073709551615]", 1, DType.FP64)
@example("[0.1, 1e-46, 3.4028235677973366e38]", 1, DType.FP32)
def test_what_the_quick_reader_reads_is_what_the_strict_one_reads(text: str, rank: int, dtype: DType) -> None:
    spec = TensorSpec(name="t", dtype=dtype, shape=(-1,) * rank)
    array = read_numbers(text.encode(), rank, dtype)
    if array is None:
        return
    expected = strict(text, spec)
    assert expected is not None, f"only the quick reader takes {text}"
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(array, expected)
    assert array.flags.writeable


@pytest.mark.parametrize(
    ("text", "rank", "shape"),
    [
        (b"[1, 2]", 1, (2,)),
        (b"[[1, 2, 3], [4, 5, 6]]", 2, (2, 3)),
        (b"[ [[1],\n[2]],\t[[3],[4]],[[5],[6]] ]", 3, (3, 2, 1)),
        (b"[1, 2]", 2, None),
        (b"[[1], [2]]", 1, None),
        (b"[[1], 2]", 2, None),
        (b"[[1, 2], [3]]", 2, None),
        (b"[[1], [2, 3]]", 2, None),
        (b"[[1], [2]", 2, None),
        (b'[["1"]]', 2, None),
        (b"[" * 5000, 3, None),
        (b"1", 0, None),
        (b"", 1, None),
    ],
)
def test_brackets_and_commas_give_the_shape(text: bytes, rank: int, shape: tuple[int, ...] | None) -> None:
    assert shape_of(text, rank) == shape


def nested(rows: int) -> Any:
    return np.arange(rows * 784).reshape(rows, 28, 28, 1).tolist()


@quick
@pytest.mark.parametrize("rows", [1, 3])
def test_long_arrays_are_lifted_out_wherever_a_tensor_stands(rows: int) -> None:
    data = nested(rows)
    flat = np.arange(rows * 784).tolist()
    named = [{"image": row} for row in data]
    bodies = [
        {"instances": data},
        {"signature_name": "serving_default", "instances": data},
        {"instances": data, "signature_name": "serving_default"},
        {"instances": named},
        {"inputs": data},
        {"inputs": {"image": data}},
    ]
    tensor = {"name": "image", "shape": [rows, 28, 28, 1], "datatype": "FP32"}
    signature = Signature(inputs=(IMAGE,), outputs=(IMAGE,))
    expected = np.array(data, dtype=np.float32)
    for indent in (None, 1):
        for body in bodies:
            raw = json.dumps(body, indent=indent).encode()
            assert any(type(v) is NumberText for v in _values(parse_lifting(raw, ("instances", "inputs", "image"))))
            np.testing.assert_array_equal(decode_predict(raw, signature).inputs["image"], expected)
        for values in (flat, data):
            raw = json.dumps({"inputs": [{"data": values, **tensor}], "id": "a"}, indent=indent).encode()
            assert any(type(v) is NumberText for v in _values(parse_lifting(raw, ("data",))))
            np.testing.assert_array_equal(decode_infer(raw, signature).inputs["image"], expected)


def _values(value: Any) -> list[Any]:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(inner for item in items for inner in _values(item))]


@quick
def test_a_request_leaves_no_object_a_number_behind() -> None:
    body = json.dumps({"instances": nested(1)}).encode()
    signature = Signature(inputs=(IMAGE,), outputs=(IMAGE,))
    decode_predict(body, signature)
    tracemalloc.start()
    try:
        request = decode_predict(body, signature)
        blocks = sum(stat.count for stat in tracemalloc.take_snapshot().statistics("filename"))
    finally:
        tracemalloc.stop()
    assert request.inputs["image"].size == 784
    assert blocks < 100


def test_text_that_only_looks_like_an_array_is_understood_as_it_stands() -> None:
    signature = Signature(inputs=(TensorSpec(name="x", dtype=DType.FP32, shape=(-1,)),), outputs=(IMAGE,))
    numbers = ", ".join(["1.5"] * 40)
    said = json.dumps(f'"data": [{numbers}]')
    tensor = f'{{"name": "x", "shape": [40], "datatype": "FP32", "data": [{numbers}]}}'
    good = [
        f'{{"id": {said}, "inputs": [{tensor}]}}',
        f'{{"\\"data": [{numbers}], "inputs": [{tensor}]}}',
        f'{{"parameters": {{"data": [{numbers}]}}, "inputs": [{tensor}]}}',
        f'{{"inputs": [{tensor[:-1]}, "parameters": {{"data": [{numbers}]}}}}]}}',
    ]
    for body in good:
        assert decode_infer(body.encode(), signature).inputs["x"].tolist() == [1.5] * 40
    broken = [
        f'{{"id": "data": [{numbers}], "inputs": [{tensor}]}}',
        f'{{"parameters": {{"data": [{numbers} 1]}}, "inputs": [{tensor}]}}',
        f'{{"inputs": [{tensor}]]}}',
        f'{{"inputs": [{tensor}',
    ]
    for body in broken:
        with pytest.raises(InvalidInputError, match="not valid JSON"):
            decode_infer(body.encode(), signature)


def test_an_error_names_the_place_in_the_whole_body() -> None:
    signature = Signature(inputs=(TensorSpec(name="x", dtype=DType.FP32, shape=(-1,)),), outputs=(IMAGE,))
    body = b'{"id": "a", "inputs": [{"name": "x", "shape": [60], "datatype": "FP32", "data": [' + b"1, " * 60 + b"]}]}"
    with pytest.raises(InvalidInputError, match=f"column {body.index(b']}]}') - 1} "):
        decode_infer(body, signature)


ONE_INPUT = Signature(
    inputs=(TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 40)),),
    outputs=(TensorSpec(name="y", dtype=DType.FP32, shape=(-1, 1)),),
)
AROUND = st.sampled_from(["", " ", "\n ", "\t"])
ROW = ", ".join(["1.5"] * 40)


@patient
@given(
    st.one_of(TEXTS, st.sampled_from([f"[[{ROW}]]", f"[[{ROW}],[{ROW}]]", f"[[{ROW}, NaN]]", f"[[{ROW}]],[[{ROW}]]"])),
    st.lists(AROUND, min_size=5, max_size=5),
    st.sampled_from(["", ', "instances": [[1]]', ', "inputs": 1', "}", ', "a": {"b": [1]}', ', "signature_name": "s"']),
)
def test_a_body_of_instances_alone_is_read_as_any_other(text: str, space: list[str], more: str) -> None:
    a, b, c, d, e = space
    body = f'{a}{{{b}"instances"{c}:{d}{text}{more}}}{e}'.encode()
    quick, strict_way = outcome(body), outcome(b'{"unused": 0,' + body.lstrip()[1:])
    if isinstance(strict_way, str):
        assert isinstance(quick, str)
    else:
        assert not isinstance(quick, str)
        np.testing.assert_array_equal(quick, strict_way)


def outcome(body: bytes) -> Any:
    try:
        return decode_predict(body, ONE_INPUT).inputs["x"]
    except InvalidInputError as error:
        return error.message


@patient
@given(
    st.lists(st.one_of(TEXTS, st.sampled_from([f"[{ROW}]", f"[[{ROW}]]", f"[{ROW}],[{ROW}]"])), min_size=2, max_size=4)
)
def test_what_was_kept_of_one_head_reads_the_next_as_if_it_were_the_first(texts: list[str]) -> None:
    def message(text: str, signature: Signature) -> Any:
        padding = " " * 2100  # long enough that what stands around the numbers is kept
        tensor = f'{{"name": "x", "shape": [1, 40], "datatype": "FP32", "data": {text[:-1]}{padding}]}}'
        try:
            return decode_infer(f'{{"inputs": [{tensor}]}}'.encode(), signature).inputs["x"].tolist()
        except InvalidInputError as error:
            return error.message

    for text in texts:
        fresh = Signature(inputs=ONE_INPUT.inputs, outputs=ONE_INPUT.outputs)
        assert message(text, ONE_INPUT) == message(text, fresh)
