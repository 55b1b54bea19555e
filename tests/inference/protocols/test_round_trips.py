"""What is written is read back exactly: arrays of every type, both protocols, any shape."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
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


def elements_of(dtype: DType, *, allow_infinity: bool = False) -> st.SearchStrategy[Any] | None:
    """Return a strategy for elements where numpy's own does not do: no infinities, bfloat16's values."""
    if dtype is DType.BF16:
        odd = [np.nan, np.inf, -np.inf] if allow_infinity else [np.nan]
        return st.floats(-65504, 65504, width=16) | st.sampled_from(odd)
    is_float = dtype.numpy.kind == "f"
    return hnp.from_dtype(dtype.numpy, allow_infinity=allow_infinity) if is_float else None


@st.composite
def tensors(
    draw: st.DrawFn, dtypes: tuple[DType, ...] = tuple(DType), *, allow_infinity: bool = False
) -> tuple[TensorSpec, np.ndarray[Any, Any]]:
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
        array = draw(hnp.arrays(dtype.numpy, shape, elements=elements_of(dtype, allow_infinity=allow_infinity)))
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
def test_a_tensor_survives_v2(tensor: tuple[TensorSpec, np.ndarray[Any, Any]]) -> None:
    spec, array = tensor
    signature = Signature(inputs=(spec,), outputs=(spec,))
    response = InferResponse(model="m", version=1, prediction_id="p", outputs={"t": array})
    if spec.dtype in ONLY_BINARY:
        return
    answered = orjson.loads(encode_infer(InferRequest(inputs={}, form=Form.TENSORS), response).body)
    again = decode_infer(dump({"inputs": answered["outputs"]}), signature)
    assert_same(spec, again.inputs["t"], array)


@patient
@given(tensors(allow_infinity=True), st.booleans())
def test_a_tensor_survives_v1_with_nan_and_infinities(
    tensor: tuple[TensorSpec, np.ndarray[Any, Any]], is_named: bool
) -> None:
    spec, array = tensor
    signature = Signature(inputs=(spec,), outputs=(spec,))
    response = InferResponse(model="m", version=1, prediction_id="p", outputs={"t": array})
    # Python's own json module reads and writes the tokens, as TF Serving's clients do.
    outputs = json.loads(encode_predict(InferRequest(inputs={}, form=Form.COLUMNS), response).body)["outputs"]
    body = json.dumps({"inputs": {"t": outputs} if is_named else outputs})
    assert_same(spec, decode_predict(body.encode(), signature).inputs["t"], array)
    rows = json.loads(encode_predict(InferRequest(inputs={}, form=Form.ROWS), response).body)["predictions"]
    body = json.dumps({"instances": [{"t": row} for row in rows] if is_named else rows})
    assert_same(spec, decode_predict(body.encode(), signature).inputs["t"], array)


@patient
@given(st.integers(1, 5), st.lists(tensors(), min_size=2, max_size=3))
def test_several_outputs_are_one_object_a_row(rows: int, items: list[tuple[TensorSpec, np.ndarray[Any, Any]]]) -> None:
    outputs = {f"o{i}": np.repeat(array[:1], rows, axis=0) for i, (_, array) in enumerate(items)}
    response = InferResponse(model="m", version=1, prediction_id="p", outputs=outputs)
    encoded = encode_predict(InferRequest(inputs={}, form=Form.ROWS), response)
    predictions = json.loads(encoded.body)["predictions"]
    assert [set(row) for row in predictions] == [set(outputs)] * rows
    assert [set(row) for row in rows_from_arrays(outputs)] == [set(outputs)] * rows


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


def test_v1_writes_nan_and_infinities_as_tf_serving_does() -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, 1.0]], dtype=np.float32)
    text = np.array([["null, NaN"]], dtype=object)
    cases: list[tuple[dict[str, np.ndarray[Any, Any]], bytes | None, bytes]] = [
        ({"y": odd}, b"[[NaN,Infinity,-Infinity,1.0]]", b"[[NaN,Infinity,-Infinity,1.0]]"),
        ({"y": odd[0]}, b"[NaN,Infinity,-Infinity,1.0]", b"[NaN,Infinity,-Infinity,1.0]"),
        (
            {"y": odd, "t": text},
            b'[{"y":[NaN,Infinity,-Infinity,1.0],"t":["null, NaN"]}]',
            b'{"y":[[NaN,Infinity,-Infinity,1.0]],"t":[["null, NaN"]]}',
        ),
        ({"y": odd[0], "n": np.arange(4)}, None, b'{"y":[NaN,Infinity,-Infinity,1.0],"n":[0,1,2,3]}'),
        ({"y": odd[:, :1], "z": np.array([2], dtype=np.float16)}, b'[{"y":[NaN],"z":2.0}]', b'{"y":[[NaN]],"z":[2.0]}'),
        ({"y": np.array(np.nan)}, None, b"NaN"),
    ]
    for outputs, rows, columns in cases:
        response = InferResponse(model="m", version=1, prediction_id="p", outputs=outputs)
        body = encode_predict(InferRequest(inputs={}, form=Form.COLUMNS), response).body
        assert body == b'{"outputs":' + columns + b"}"
        if rows is not None:
            body = encode_predict(InferRequest(inputs={}, form=Form.ROWS), response).body
            assert body == b'{"predictions":' + rows + b"}"


def test_outputs_of_different_lengths_have_no_rows() -> None:
    outputs = {"a": np.zeros(2, dtype=np.float32), "b": np.zeros(3, dtype=np.float32)}
    response = InferResponse(model="m", version=1, prediction_id="p", outputs=outputs)
    with pytest.raises(InvalidInputError, match="differ in their number of rows"):
        encode_predict(InferRequest(inputs={}, form=Form.ROWS), response)
    assert encode_predict(InferRequest(inputs={}, form=Form.COLUMNS), response).body


def test_v2_has_no_tokens() -> None:
    spec = TensorSpec(name="t", dtype=DType.FP32, shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    body = b'{"inputs": [{"name": "t", "shape": [1], "datatype": "FP32", "data": [NaN]}]}'
    with pytest.raises(InvalidInputError, match="not valid JSON"):
        decode_infer(body, signature)
    response = InferResponse(
        model="m", version=1, prediction_id="p", outputs={"t": np.array([np.nan], dtype=np.float32)}
    )
    assert b'"data":[null]' in encode_infer(InferRequest(inputs={}, form=Form.TENSORS), response).body


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
