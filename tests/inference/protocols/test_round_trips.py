"""What is written is read back exactly: arrays of every type, both protocols, any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.infer_heads import ONLY_BINARY
from inference.protocols.json_arrays import array_from_flat, array_from_nested, json_value, rows_from_arrays
from inference.protocols.json_body import dump, parse_object
from inference.protocols.messages import Form, InferRequest, InferResponse
from inference.protocols.open_inference import decode_infer, encode_infer
from inference.protocols.tf_serving import decode_predict, encode_predict

# The machine that runs the tests may be busy: no example has a deadline.
patient = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def elements_of(dtype: DType) -> st.SearchStrategy[Any] | None:
    """Return a strategy for elements where numpy's own does not do: no infinities, bfloat16's values."""
    if dtype is DType.BF16:
        return st.floats(-65504, 65504, width=16) | st.just(np.nan)
    is_float = dtype.numpy.kind == "f"
    return hnp.from_dtype(dtype.numpy, allow_infinity=False) if is_float else None


@st.composite
def tensors(draw: st.DrawFn, dtypes: tuple[DType, ...] = tuple(DType)) -> tuple[TensorSpec, np.ndarray[Any, Any]]:
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if dtype is DType.BYTES:
        elements = st.one_of(st.text(max_size=5), st.binary(max_size=5))
        count = int(np.prod(shape))
        array = np.empty(count, dtype=object)
        array[:] = draw(st.lists(elements, min_size=count, max_size=count))
        array = array.reshape(shape)
    elif dtype is DType.BF16:
        array = draw(hnp.arrays(np.float32, shape, elements=elements_of(dtype))).astype(dtype.numpy)
    else:
        array = draw(hnp.arrays(dtype.numpy, shape, elements=elements_of(dtype)))
    free = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    spec = TensorSpec(name="t", dtype=dtype, shape=tuple(-1 if f else s for f, s in zip(free, shape, strict=True)))
    return spec, array


def as_bytes(array: np.ndarray[Any, Any]) -> list[Any]:
    return [v if isinstance(v, bytes) else v.encode() for v in array.ravel().tolist()]


def assert_same(spec: TensorSpec, got: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    spec.check(got)
    assert got.shape == expected.shape
    if spec.dtype is DType.BYTES:
        assert as_bytes(got) == as_bytes(expected)
    else:
        if spec.dtype is DType.BF16:  # numpy does not know bfloat16's NaN
            got, expected = got.astype(np.float32), expected.astype(np.float32)
        np.testing.assert_array_equal(got, expected)


@patient
@given(tensors())
def test_nested_lists_come_back_as_the_same_array(tensor: tuple[TensorSpec, np.ndarray[Any, Any]]) -> None:
    spec, array = tensor
    assert_same(spec, array_from_nested(orjson.loads(dump(json_value("t", array))), spec), array)


@patient
@given(tensors())
def test_flat_lists_come_back_as_the_same_array(tensor: tuple[TensorSpec, np.ndarray[Any, Any]]) -> None:
    spec, array = tensor
    flat = orjson.loads(dump(json_value("t", array.reshape(-1))))
    assert_same(spec, array_from_flat(flat, list(array.shape), spec), array)


@patient
@given(tensors())
def test_a_tensor_survives_both_protocols(tensor: tuple[TensorSpec, np.ndarray[Any, Any]]) -> None:
    spec, array = tensor
    signature = Signature(inputs=(spec,), outputs=(spec,))
    response = InferResponse(model="m", version=1, prediction_id="p", outputs={"t": array})
    columns = InferRequest(inputs={}, form=Form.COLUMNS)
    outputs = orjson.loads(encode_predict(columns, response).body)["outputs"]
    again = decode_predict(dump({"inputs": {"t": outputs}}), signature)
    assert_same(spec, again.inputs["t"], array)
    rows = orjson.loads(encode_predict(InferRequest(inputs={}, form=Form.ROWS), response).body)["predictions"]
    assert_same(spec, decode_predict(dump({"instances": rows}), signature).inputs["t"], array)
    if spec.dtype in ONLY_BINARY:
        return
    answered = orjson.loads(encode_infer(InferRequest(inputs={}, form=Form.TENSORS), response).body)
    again = decode_infer(dump({"inputs": answered["outputs"]}), signature)
    assert_same(spec, again.inputs["t"], array)


@patient
@given(st.integers(1, 5), st.lists(tensors(), min_size=2, max_size=3))
def test_several_outputs_are_one_object_a_row(rows: int, items: list[tuple[TensorSpec, np.ndarray[Any, Any]]]) -> None:
    outputs = {f"o{i}": np.repeat(array[:1], rows, axis=0) for i, (_, array) in enumerate(items)}
    response = InferResponse(model="m", version=1, prediction_id="p", outputs=outputs)
    encoded = encode_predict(InferRequest(inputs={}, form=Form.ROWS), response)
    predictions = orjson.loads(encoded.body)["predictions"]
    assert [set(row) for row in predictions] == [set(outputs)] * rows
    assert orjson.loads(dump([dict(row) for row in rows_from_arrays(outputs)])) == predictions or any(
        spec.dtype in (DType.FP16, DType.BF16, DType.FP32)
        for spec, _ in items  # shortest digits differ from a double's
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["b64", "x", "data", "name"]), inner),
    max_leaves=12,
)
SPECS = st.builds(
    TensorSpec,
    name=st.just("x"),
    dtype=st.sampled_from(list(DType)),
    shape=st.lists(st.sampled_from([-1, 1, 2]), max_size=3).map(tuple),
)


@patient
@given(JSON, SPECS)
def test_any_json_is_an_array_of_the_signature_or_refused(value: Any, spec: TensorSpec) -> None:
    try:
        spec.check(array_from_nested(value, spec))
    except InvalidInputError as error:
        assert error.message


@patient
@given(st.one_of(JSON, st.fixed_dictionaries({"inputs": JSON}), st.fixed_dictionaries({"instances": JSON})), SPECS)
def test_any_message_is_understood_or_refused(message: Any, spec: TensorSpec) -> None:
    signature = Signature(inputs=(spec,), outputs=(spec,))
    for decode in (decode_predict, decode_infer):
        try:
            request = decode(dump(message), signature)
        except InvalidInputError:
            continue
        spec.check(request.inputs["x"])


@patient
@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except InvalidInputError as error:
        assert error.message


def test_null_stands_for_nan_and_nan_is_answered_as_null() -> None:
    spec = TensorSpec(name="t", dtype=DType.FP32, shape=(-1, 1))
    array = array_from_nested([[1.5], [None]], spec)
    assert array[0, 0] == 1.5
    assert np.isnan(array[1, 0])
    assert dump(array) == b"[[1.5],[null]]"
    assert dump(np.array([np.inf, -np.inf], dtype=np.float32)) == b"[null,null]"


def test_whole_floats_are_integers() -> None:
    spec = TensorSpec(name="t", dtype=DType.UINT8, shape=(-1,))
    assert array_from_nested([1.0, 255], spec).tolist() == [1, 255]


def test_float_tensors_keep_the_shortest_digits() -> None:
    assert dump(np.array([0.1, 1 / 3], dtype=np.float32)) == b"[0.1,0.33333334]"


def test_a_column_may_be_written_as_plain_values() -> None:
    spec = TensorSpec(name="age", dtype=DType.FP32, shape=(-1, 1))
    signature = Signature(inputs=(spec, TensorSpec(name="city", dtype=DType.BYTES, shape=(-1, 1))), outputs=(spec,))
    request = decode_predict(dump({"instances": [{"age": 1, "city": "a"}, {"age": 2, "city": "b"}]}), signature)
    assert request.inputs["age"].tolist() == [[1], [2]]
    assert request.inputs["city"].tolist() == [["a"], ["b"]]


def test_b64_is_bytes_and_bytes_are_b64_where_no_text_stands_for_them() -> None:
    spec = TensorSpec(name="t", dtype=DType.BYTES, shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    request = decode_predict(b'{"instances": [{"b64": "/w=="}, "text"]}', signature)
    assert request.inputs["t"].tolist() == [b"\xff", "text"]
    array = np.array([b"\xff", b"text"], dtype=object)
    assert json_value("t", array) == [{"b64": "/w=="}, "text"]
    assert json_value("image_bytes", array) == [{"b64": "/w=="}, {"b64": "dGV4dA=="}]


def test_outputs_can_be_chosen_and_ordered() -> None:
    spec = TensorSpec(name="a", dtype=DType.FP32, shape=(-1,))
    other = TensorSpec(name="b", dtype=DType.FP32, shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=(spec, other))
    message = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP32", "data": [1]}], "outputs": [{"name": "b"}]}
    request = decode_infer(dump(message), signature)
    outputs = {"a": np.ones(1, dtype=np.float32), "b": np.zeros(1, dtype=np.float32)}
    answer = encode_infer(request, InferResponse(model="m", version=3, prediction_id="p", outputs=outputs))
    assert orjson.loads(answer.body) == {
        "model_name": "m",
        "model_version": "3",
        "id": "p",
        "outputs": [{"name": "b", "shape": [1], "datatype": "FP32", "data": [0]}],
    }
