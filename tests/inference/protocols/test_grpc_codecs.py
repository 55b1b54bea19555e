"""The gRPC codecs: what goes in comes out, and what is wrong is refused before anything is allocated."""

from __future__ import annotations

from typing import Any, cast

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols import grpc_tf_serving, grpc_v2
from inference.protocols.binary_tensors import bytes_from_array
from inference.protocols.grpc_tensors import array_from_raw
from inference.protocols.messages import Form, InferRequest, InferResponse
from inference.protocols.protos import open_inference_pb2 as v2
from inference.protocols.protos import tf_serving_pb2 as tfs

MAX_BYTES = 1 << 20


def signature(dtype: DType = DType.FP32, shape: tuple[int, ...] = (-1, 2), name: str = "x") -> Signature:
    spec = TensorSpec(name=name, dtype=dtype, shape=shape)
    return Signature(inputs=(spec,), outputs=(TensorSpec(name="y", dtype=dtype, shape=shape),))


def response(array: Any) -> InferResponse:
    return InferResponse(model="m", version=3, prediction_id="p", outputs={"y": array})


def plain_request(**more: Any) -> InferRequest:
    return InferRequest(inputs={}, form=Form.TENSORS, **more)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    dtype = draw(st.sampled_from(list(DType)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    if dtype is DType.BYTES:
        values = draw(st.lists(st.binary(max_size=9), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array.reshape(shape)
    if dtype.numpy.kind == "V":  # bfloat16, which hypothesis does not know
        return draw(npst.arrays(np.float32, shape, elements=st.integers(-99, 99))).astype(dtype.numpy)
    return draw(npst.arrays(dtype.numpy, shape))


def same(left: Any, right: Any) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype and bytes_from_array(left) == bytes_from_array(right)


@given(arrays(), st.booleans())
def test_v2_contents_come_out_as_they_went_in(array: Any, is_raw: bool) -> None:
    dtype = DType.of(array.dtype)
    answer = v2.ModelInferResponse.FromString(grpc_v2.encode_infer(plain_request(), response(array), is_raw=is_raw))
    back = v2.ModelInferRequest(raw_input_contents=answer.raw_output_contents)
    tensor = answer.outputs[0]
    entry = back.inputs.add(name="x", datatype=tensor.datatype, shape=tensor.shape)
    if tensor.HasField("contents"):
        entry.contents.CopyFrom(tensor.contents)
    message = grpc_v2.parse_infer(back.SerializeToString())
    assert same(grpc_v2.decode_infer(message, signature(dtype, (-1, -1))).inputs["x"], array)


@given(arrays())
def test_tf_servings_values_come_out_as_they_went_in(array: Any) -> None:
    answer = tfs.PredictResponse.FromString(grpc_tf_serving.encode_predict(plain_request(), response(array), "s"))
    back = tfs.PredictRequest()
    back.inputs["x"].CopyFrom(answer.outputs["y"])
    found = decode_tf(back, signature(DType.of(array.dtype), (-1, -1)))
    assert same(found, array)
    assert (answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name) == ("m", 3, "s")


@given(arrays())
def test_tf_servings_raw_content_comes_in(array: Any) -> None:
    dtype = DType.of(array.dtype)
    if dtype is DType.BYTES:
        return
    message = tf_message(dtype, array.shape)
    message.inputs["x"].tensor_content = bytes_from_array(array)
    assert same(decode_tf(message, signature(dtype, (-1, -1))), array)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused_or_decode_to_a_refusal(body: bytes) -> None:
    for read in (
        lambda: grpc_v2.decode_infer(grpc_v2.parse_infer(body), signature()),
        lambda: decode_tf(grpc_tf_serving.parse_predict(body), signature()),
        lambda: grpc_tf_serving.parse_metadata(body),
    ):
        with pytest.raises(InvalidInputError):
            read()


@given(st.binary(max_size=60), st.lists(st.integers(-(2**62), 2**62), max_size=4), st.sampled_from(list(DType)))
def test_raw_bytes_of_any_length_and_shape_are_an_array_or_a_refusal(
    raw: bytes, shape: list[int], dtype: DType
) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=(-1,) * len(shape))
    try:
        array = array_from_raw(raw, shape, spec)
    except InvalidInputError:
        return
    assert list(array.shape) == shape
    assert bytes_from_array(array) == raw


def v2_message(
    shape: list[int], *, raw: list[bytes] | None = None, datatype: str = "FP32", name: str = "x", **contents: Any
) -> v2.ModelInferRequest:
    message = v2.ModelInferRequest(raw_input_contents=raw or [])
    tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return message


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (v2_message([1, 2], raw=[b"1234567"]), "needs 8 bytes, not 7"),
        (v2_message([1, 2], raw=[b"123456789"]), "needs 8 bytes, not 9"),
        (v2_message([2**60, 2], raw=[b"12345678"]), "bytes, not 8"),
        (v2_message([2**62, 2], fp32_contents=[1]), "values, not 1"),
        (v2_message([-1, 2], raw=[b"12345678"]), "at least 1"),
        (v2_message([0, 2], raw=[b""]), "at least 1"),
        (v2_message([2], raw=[b"12345678"]), "must have shape"),
        (v2_message([], raw=[b"1234"]), "must have shape"),
        (v2_message([1, 2], raw=[b"12345678"], fp32_contents=[1, 2]), "both contents and raw"),
        (v2_message([1, 2], raw=[b"12345678", b""]), "2 entries for 1 inputs"),
        (v2_message([1, 2], raw=[b"12345678"], datatype="INT64"), "must have datatype FP32, not 'INT64'"),
        (v2_message([1, 2], int_contents=[1, 2]), "stands in fp32_contents, not in int_contents"),
        (v2_message([1, 2], fp32_contents=[1, 2], bool_contents=[True]), "not in bool_contents"),
        (v2_message([1, 2], fp32_contents=[1]), "needs 2 values, not 1"),
        (v2_message([1, 2]), "needs 2 values, not 0"),
        (v2_message([1, 2], raw=[b"12345678"], name="z"), "no input is named 'z'"),
        (v2.ModelInferRequest(), "lacks input 'x'"),
    ],
)
def test_a_v2_request_that_breaks_a_rule_is_refused_with_the_rule(message: v2.ModelInferRequest, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        grpc_v2.decode_infer(message, signature())


def test_a_v2_input_may_not_come_twice_and_unserved_parameters_are_not_overlooked() -> None:
    message = v2_message([1, 2], fp32_contents=[1, 2])
    message.inputs.append(message.inputs[0])
    with pytest.raises(InvalidInputError, match="given twice"):
        grpc_v2.decode_infer(message, signature())
    message = v2_message([1, 2], fp32_contents=[1, 2])
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidInputError, match="shared_memory_region"):
        grpc_v2.decode_infer(message, signature())
    message = v2_message([1, 2], fp32_contents=[1, 2])
    message.outputs.add(name="z")
    with pytest.raises(InvalidInputError, match="no output is named 'z'"):
        grpc_v2.decode_infer(message, signature())


@pytest.mark.parametrize(
    ("dtype", "field", "values"),
    [
        (DType.INT8, "int_contents", [200]),
        (DType.INT16, "int_contents", [-40000]),
        (DType.UINT8, "uint_contents", [256]),
        (DType.UINT16, "uint_contents", [70000]),
    ],
)
def test_a_number_out_of_its_types_range_is_refused(dtype: DType, field: str, values: list[int]) -> None:
    message = v2_message([1], datatype=dtype.value)
    getattr(message.inputs[0].contents, field).extend(values)
    with pytest.raises(InvalidInputError, match=f"{values[0]} is out of range for {dtype.value}"):
        grpc_v2.decode_infer(message, signature(dtype, (-1,)))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "needs at least 4 bytes, not 0"),
        (b"\x05\x00\x00\x00abc", "ends beyond the tensor's 7 bytes"),
        (b"\xff\xff\xff\xffabc", "ends beyond the tensor's 7 bytes"),
        (b"\x01\x00\x00\x00ab", "1 bytes are left"),
    ],
)
def test_bytes_elements_keep_within_their_tensor(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        array_from_raw(raw, [1], TensorSpec(name="x", dtype=DType.BYTES, shape=(-1,)))


def test_half_precision_has_no_typed_form_so_the_answer_is_raw() -> None:
    array = np.array([[1, 2]], dtype=np.float16)
    encoded = grpc_v2.encode_infer(plain_request(), response(array), is_raw=False)
    assert v2.ModelInferResponse.FromString(encoded).raw_output_contents[0] == array.tobytes()
    with pytest.raises(InvalidInputError, match="raw_input_contents only"):
        grpc_v2.decode_infer(v2_message([1, 2], datatype="FP16", fp32_contents=[1, 2]), signature(DType.FP16))


def tf_message(dtype: DType, shape: Any, **values: Any) -> tfs.PredictRequest:
    message = tfs.PredictRequest()
    tensor = message.inputs["x"]
    tensor.dtype = cast(tfs.DataType, tfs.DataType.Value(dtype.tensorflow_name))
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for field, value in values.items():
        if field == "tensor_content":
            tensor.tensor_content = value
        else:
            getattr(tensor, field).extend(value)
    return message


def decode_tf(message: tfs.PredictRequest, wanted: Signature) -> Any:
    return grpc_tf_serving.decode_predict(message, wanted, max_bytes=MAX_BYTES).inputs["x"]


@pytest.mark.parametrize(("values", "expected"), [([5.0], [[5, 5], [5, 5]]), ([1.0, 2.0, 3.0], [[1, 2], [3, 3]])])
def test_a_last_value_stands_for_all_that_follow_it(values: list[float], expected: Any) -> None:
    array = decode_tf(tf_message(DType.FP32, (2, 2), float_val=values), signature())
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (tf_message(DType.FP32, (2**40, 2), float_val=[1.0]), "MAX_BODY_BYTES"),
        (tf_message(DType.FP32, (2**62, 2), tensor_content=b"1234"), "bytes, not 4"),
        (tf_message(DType.FP32, (-1, 2), float_val=[1.0]), "at least 1"),
        (tf_message(DType.FP32, (1, 2), float_val=[1, 2, 3]), "has 2 elements; 3 are given"),
        (tf_message(DType.FP32, (1, 2)), "no values"),
        (tf_message(DType.FP64, (1, 2), double_val=[1, 2]), "must have dtype DT_FLOAT, not DT_DOUBLE"),
        (tf_message(DType.FP32, (1, 2), double_val=[1, 2]), "stands in float_val"),
        (tf_message(DType.FP32, (1, 2), float_val=[1, 2], tensor_content=b"12345678"), "both tensor_content"),
        (tf_message(DType.FP32, (1, 2), tensor_content=b"1234567"), "needs 8 bytes, not 7"),
        (tf_message(DType.FP32, (2,), float_val=[1, 2]), "must have shape"),
        (tfs.PredictRequest(), "lacks input 'x'"),
        (tfs.PredictRequest(output_filter=["z"]), "no output is named 'z'"),
        (tfs.PredictRequest(model_spec=tfs.ModelSpec(signature_name="other")), "signature_name must be"),
    ],
)
def test_a_tf_serving_request_that_breaks_a_rule_is_refused_with_the_rule(
    message: tfs.PredictRequest, says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        decode_tf(message, signature())


def test_tf_servings_odd_types_and_ranks_are_refused_with_the_rule() -> None:
    message = tf_message(DType.FP32, (1, 2), float_val=[1, 2])
    message.inputs["x"].dtype = cast(tfs.DataType, 99)
    with pytest.raises(InvalidInputError, match="not number 99"):
        decode_tf(message, signature())
    message = tf_message(DType.FP32, (), float_val=[1, 2])
    message.inputs["x"].tensor_shape.unknown_rank = True
    with pytest.raises(InvalidInputError, match="must say its shape"):
        decode_tf(message, signature())
    with pytest.raises(InvalidInputError, match="16 bits a value"):
        decode_tf(tf_message(DType.FP16, (1, 2), half_val=[1, 70000]), signature(DType.FP16))
    with pytest.raises(InvalidInputError, match="300 is out of range for UINT8"):
        decode_tf(tf_message(DType.UINT8, (1, 2), int_val=[1, 300]), signature(DType.UINT8))
    with pytest.raises(InvalidInputError, match="stands in string_val"):
        decode_tf(tf_message(DType.BYTES, (1, 2), tensor_content=b"ab"), signature(DType.BYTES))
    with pytest.raises(InvalidInputError, match="not -1"):
        grpc_tf_serving.read_version(tfs.ModelSpec(version={"value": -1}))


def test_what_a_newer_client_adds_is_let_pass() -> None:
    body = v2_message([1, 2], fp32_contents=[1, 2]).SerializeToString() + b"\xfa\x3e\x03new"  # field 1007
    assert grpc_v2.decode_infer(grpc_v2.parse_infer(body), signature()).inputs["x"].tolist() == [[1, 2]]


def test_classification_gives_the_best_classes_of_each_row_as_bytes() -> None:
    message = v2_message([1, 2], raw=[b"12345678"])
    message.outputs.add(name="y").parameters["classification"].int64_param = 1
    request = grpc_v2.decode_infer(message, signature())
    answered = response(np.array([[1, 3], [4, 2]], dtype=np.float32))
    answered.labels = ("no", "yes")
    answer = v2.ModelInferResponse.FromString(grpc_v2.encode_infer(request, answered, is_raw=False))
    tensor = answer.outputs[0]
    assert (tensor.datatype, list(tensor.shape)) == ("BYTES", [2, 1])
    assert list(tensor.contents.bytes_contents) == [b"3.000000:1:yes", b"4.000000:0:no"]
    message.outputs[0].parameters["classification"].int64_param = -1
    with pytest.raises(InvalidInputError, match="how many classes"):
        grpc_v2.decode_infer(message, signature())
