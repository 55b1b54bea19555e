"""Raw tensors: read back exactly, never read beyond their end, refused before anything is made."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.binary_tensors import array_from_raw_body, bytes_from_array, read_head_size
from inference.protocols.infer_heads import ONLY_BINARY
from inference.protocols.json_arrays import json_value
from inference.protocols.json_body import dump
from inference.protocols.messages import BINARY_CONTENT, JSON_CONTENT, Encoded, InferResponse
from inference.protocols.open_inference import decode_infer, encode_infer
from tests.inference.protocols.test_round_trips import as_bytes, assert_same, patient, tensors

IMAGE = TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 2))
SCORES = TensorSpec(name="y", dtype=DType.FP32, shape=(-1, 3))
SIGNATURE = Signature(inputs=(IMAGE,), outputs=(SCORES,))
ONE = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
Array = np.ndarray[Any, Any]


def message(*inputs: Any, raw: bytes = b"", **more: Any) -> tuple[bytes, int]:
    """Return a body with its head's size."""
    head = dump({"inputs": list(inputs), **more})
    return head + raw, len(head)


def decode(body: bytes, size: int | None, signature: Signature = SIGNATURE) -> Any:
    return decode_infer(body, signature, head_size=size)


def answer_of(request: Any, outputs: dict[str, Array], labels: tuple[str, ...] = ()) -> Encoded:
    return encode_infer(request, InferResponse(model="m", version=1, prediction_id="p", outputs=outputs, labels=labels))


def split(encoded: Encoded) -> tuple[Any, bytes]:
    """Return an answer's head and what follows it."""
    size = int(dict(encoded.headers)[b"inference-header-content-length"])
    return orjson.loads(encoded.body[:size]), encoded.body[size:]


@patient
@given(st.lists(tensors(), min_size=1, max_size=3), st.data())
def test_any_mixture_of_json_and_binary_comes_back(items: list[tuple[TensorSpec, Array]], data: st.DataObject) -> None:
    specs = tuple(TensorSpec(name=f"t{i}", dtype=s.dtype, shape=s.shape) for i, (s, _) in enumerate(items))
    arrays = {spec.name: array for spec, (_, array) in zip(specs, items, strict=True)}
    signature = Signature(inputs=specs, outputs=specs)
    binary = {s.name for s in specs if s.dtype in ONLY_BINARY or data.draw(st.booleans(), label=s.name)}
    wanted = [{"name": s.name, "parameters": {"binary_data": s.name in binary}} for s in specs]
    raw = b"".join(bytes_from_array(arrays[s.name]) for s in specs if s.name in binary)
    body, size = message(*(described(s, arrays[s.name], s.name in binary) for s in specs), raw=raw, outputs=wanted)
    for _ in range(2):  # the second time from what was kept of the first
        request = decode(body, size if raw else None, signature)
        for spec in specs:
            assert_same(spec, request.inputs[spec.name], arrays[spec.name])
    encoded = answer_of(request, arrays)
    assert (encoded.content_type == BINARY_CONTENT) == bool(binary)
    answer, blob = split(encoded) if binary else (orjson.loads(encoded.body), b"")
    assert blob == raw
    again, size = message(*answer["outputs"], raw=blob, parameters={"binary_data_output": True})
    request = decode(again, size, signature)
    for spec in specs:
        assert_same(spec, request.inputs[spec.name], arrays[spec.name])


def described(spec: TensorSpec, array: Array, is_binary: bool) -> dict[str, Any]:
    """Return a tensor as it stands in a request's head."""
    fixed = {"name": spec.name, "datatype": spec.dtype.value, "shape": list(array.shape)}
    if is_binary:
        return {**fixed, "parameters": {"binary_data_size": len(bytes_from_array(array))}}
    return {**fixed, "data": json_value(spec.name, array.reshape(-1))}


@patient
@given(st.binary(max_size=40), st.lists(st.integers(0, 4), min_size=1, max_size=2))
def test_any_bytes_are_texts_or_refused(raw: bytes, shape: list[int]) -> None:
    spec = TensorSpec(name="t", dtype=DType.BYTES, shape=(-1,) * len(shape))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    tensor = {"name": "t", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    body, size = message(tensor, raw=raw)
    try:
        array = decode(body, size, signature).inputs["t"]
    except InvalidInputError:
        return
    assert list(array.shape) == shape
    assert bytes_from_array(array) == raw


@patient
@given(st.binary(max_size=60), st.one_of(st.none(), st.integers(0, 60)))
def test_any_body_and_head_size_are_understood_or_refused(body: bytes, size: int | None) -> None:
    try:
        request = decode(body, None if size is None else min(size, len(body)))
    except InvalidInputError as error:
        assert error.message
    else:
        IMAGE.check(request.inputs["x"])


def test_numbers_are_read_where_they_lie_unless_that_is_not_aligned() -> None:
    raw = np.arange(2, dtype=np.float32).tobytes()
    body, size = message(ONE, raw=raw)
    for padding in range(8):
        head = body[:size] + b" " * padding
        array = decode(head + raw, len(head)).inputs["x"]
        assert array.flags.aligned
        assert array.tolist() == [[0, 1]]


BROKEN: list[tuple[tuple[bytes, int | None], str]] = [
    (message(ONE, raw=b"1234567"), "say 8 bytes of binary data; 7 come after"),
    (message(ONE, raw=b"123456789"), "say 8 bytes of binary data; 9 come after"),
    ((message(ONE)[0], None), "say 8 bytes of binary data; 0 come after"),
    ((message(ONE, raw=b"12345678")[0], None), "not valid JSON"),
    (message({**ONE, "parameters": {"binary_data_size": 4}}, raw=b"1234"), "needs 8 bytes, not 4"),
    (message({**ONE, "parameters": {"binary_data_size": -8}}), "binary_data_size must be a whole number, not -8"),
    (message({**ONE, "parameters": {"binary_data_size": 8.0}}), "must be a whole number, not 8.0"),
    (message({**ONE, "parameters": {"binary_data_size": True}}), "must be a whole number, not True"),
    (message({**ONE, "parameters": {"binary_data_size": "8"}}), "must be a whole number, not '8'"),
    (message({**ONE, "parameters": [8]}), "'parameters' must be an object"),
    (message({**ONE, "data": [1, 2]}, raw=b"12345678"), "both 'data' and binary_data_size"),
    (message({**ONE, "shape": [-1, 2]}, raw=b"12345678"), "'shape' must be"),
    (message({**ONE, "shape": [2**62, 2]}, raw=b"12345678"), f"needs {2**65} bytes, not 8"),
    (message({**ONE, "shape": [1, 3]}, raw=b"12345678"), "must have shape [-1, 2]"),
    (message({**ONE, "datatype": "FP64"}, raw=b"12345678"), "datatype FP32, not FP64"),
    (message({**ONE, "parameters": {"shared_memory_region": "r"}}), "shared memory is not offered"),
    (message(ONE, ONE, raw=b"1" * 16), "given twice"),
    (message(ONE, raw=b"12345678", outputs=[{"name": "y", "parameters": {"binary_data": 1}}]), "true or false"),
    (message(ONE, raw=b"12345678", outputs=[{"name": "y", "parameters": {"classification": "3"}}]), "classification"),
    (message(ONE, raw=b"12345678", outputs=[{"name": "y", "parameters": {"classification": -1}}]), "classification"),
    (message(ONE, raw=b"12345678", parameters={"binary_data_output": "yes"}), "true or false"),
    (message(ONE, raw=b"12345678", parameters=[]), "'parameters' must be an object"),
    (
        message(ONE, raw=b"12345678", outputs=[{"name": "y", "parameters": {"binary_data": True}}] * 2),
        "asked for twice",
    ),
]


@pytest.mark.parametrize(("body", "rule"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_binary_request_is_told_the_rule(body: tuple[bytes, int | None], rule: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode(*body)
    assert rule in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("dtype", "shape", "raw", "rule"),
    [
        ("BYTES", [2**40], b"1234", "needs at least"),
        ("BYTES", [1], (5).to_bytes(4, "little") + b"1234", "element 0 of 1 ends beyond"),
        ("BYTES", [1], b"\xff\xff\xff\xff1234", "element 0 of 1 ends beyond"),
        ("BYTES", [1], bytes(4) + b"1", "1 bytes are left after its 1 elements"),
        ("BYTES", [0], b"1", "1 bytes are left"),
        ("BOOL", [2], b"\x01\x02", "the byte 0 or 1, not 2"),
    ],
)
def test_broken_elements_are_told_the_rule(dtype: str, shape: list[int], raw: bytes, rule: str) -> None:
    spec = TensorSpec(name="t", dtype=DType(dtype), shape=(-1,))
    tensor = {"name": "t", "datatype": dtype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    with pytest.raises(InvalidInputError, match=rule):
        decode(*message(tensor, raw=raw), Signature(inputs=(spec,), outputs=(spec,)))


def test_an_empty_tensor_with_huge_other_sides_is_refused() -> None:
    spec = TensorSpec(name="t", dtype=DType.FP32, shape=(-1, -1, -1))
    tensor = {"name": "t", "datatype": "FP32", "shape": [0, 2**31, 2**31], "parameters": {"binary_data_size": 0}}
    with pytest.raises(InvalidInputError, match="cannot be made"):
        decode(*message(tensor), Signature(inputs=(spec,), outputs=(spec,)))


def test_a_huge_shape_is_refused_before_anything_is_made() -> None:
    body, size = message({**ONE, "shape": [2**30, 2]}, raw=b"12345678")
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInputError):
            decode(body, size)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_raw_body_is_the_one_input_with_as_many_rows_as_it_has() -> None:
    request = decode(np.arange(6, dtype=np.float32).tobytes(), 0)
    assert request.inputs["x"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert request.layout.binary == {"y"}
    text = TensorSpec(name="t", dtype=DType.BYTES, shape=(-1, 1))
    assert array_from_raw_body(b"any\x00bytes", text).tolist() == [[b"any\x00bytes"]]


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (IMAGE, r"shape \[1, 2\] needs 8 bytes, not 15"),
        (TensorSpec(name="t", dtype=DType.FP32, shape=(-1, -1)), "free dimensions beside its rows"),
        (TensorSpec(name="t", dtype=DType.BYTES, shape=(-1, 2)), "one element of BYTES"),
    ],
)
def test_a_raw_body_that_does_not_say_its_shape_is_refused(spec: TensorSpec, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        decode(b"123456789012345", 0, Signature(inputs=(spec,), outputs=(SCORES,)))


def test_a_raw_body_is_for_models_of_one_input() -> None:
    other = TensorSpec(name="z", dtype=DType.FP32, shape=(-1, 2))
    with pytest.raises(InvalidInputError, match="this one has x, z"):
        decode(b"12345678", 0, Signature(inputs=(IMAGE, other), outputs=(SCORES,)))


@pytest.mark.parametrize("text", ["-1", "9", "1.0", "x", "\xb2", "9" * 5000])
def test_a_head_size_outside_the_body_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="Inference-Header-Content-Length"):
        read_head_size(text, 8)
    assert read_head_size("8", 8) == 8
    assert read_head_size("", 8) is None


def test_each_output_comes_as_it_was_asked_for() -> None:
    outputs = {"a": np.ones((1, 2), np.float32), "b": np.array([["x", b"\xff"]], dtype=object)}
    specs = (
        TensorSpec(name="a", dtype=DType.FP32, shape=(-1, 2)),
        TensorSpec(name="b", dtype=DType.BYTES, shape=(-1, 2)),
    )
    signature = Signature(inputs=(IMAGE,), outputs=specs)
    wanted = [{"name": "b"}, {"name": "a", "parameters": {"binary_data": False}}]
    body, size = message(ONE, raw=b"12345678", outputs=wanted, parameters={"binary_data_output": True}, id="i")
    answer, raw = split(answer_of(decode(body, size, signature), outputs))
    assert answer == {
        "model_name": "m",
        "model_version": "1",
        "id": "i",
        "parameters": {"prediction_id": "p"},
        "outputs": [
            {"name": "b", "shape": [1, 2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]},
        ],
    }
    assert raw == b"\x01\x00\x00\x00x\x01\x00\x00\x00\xff"


def test_what_was_kept_of_a_head_belongs_to_its_signature() -> None:
    body, size = message(ONE, raw=b"12345678")
    assert decode(body, size).inputs["x"].shape == (1, 2)
    narrow = Signature(inputs=(TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 1)),), outputs=(SCORES,))
    with pytest.raises(InvalidInputError, match=r"must have shape \[-1, 1\]"):
        decode(body, size, narrow)


def test_outputs_in_any_memory_layout_are_written_in_row_major_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T[::-1]
    assert bytes_from_array(array) == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("dtype", sorted(ONLY_BINARY))
def test_half_floats_travel_only_as_binary(dtype: DType) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=(-1,))
    halves = Signature(inputs=(spec,), outputs=(spec,))
    array = np.array([1.5, np.nan], dtype=dtype.numpy)
    binary = {"name": "x", "datatype": dtype.value, "shape": [2], "parameters": {"binary_data_size": 4}}
    body, size = message(binary, raw=array.tobytes(), parameters={"binary_data_output": True})
    request = decode(body, size, halves)
    assert_same(spec, request.inputs["x"], array)
    assert split(answer_of(request, {"x": array}))[1] == array.tobytes()
    with pytest.raises(InvalidInputError, match="only as binary"):
        decode(*message(binary, raw=array.tobytes()), halves)
    with pytest.raises(InvalidInputError, match="only as binary"):
        decode(*message({"name": "x", "datatype": dtype.value, "shape": [1], "data": [1]}), halves)


def classified(scores: Array, count: int, labels: tuple[str, ...] = (), *, is_binary: bool = False) -> Encoded:
    asked = {"name": "y", "parameters": {"classification": count, "binary_data": is_binary}}
    body, size = message(ONE, raw=b"12345678", outputs=[asked])
    return answer_of(decode(body, size), {"y": scores}, labels)


def test_classification_gives_the_best_classes_with_value_index_and_label() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    encoded = classified(scores, 2, ("a", "b", "c"))
    assert encoded.content_type == JSON_CONTENT
    assert orjson.loads(encoded.body)["outputs"] == [
        {
            "name": "y",
            "shape": [2, 2],
            "datatype": "BYTES",
            "data": ["0.700000:1:b", "0.200000:2:c", "0.500000:0:a", "0.250000:1:b"],
        }
    ]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (np.array([[np.nan, 1, 2]], np.float32), [b"2.000000:2", b"1.000000:1", b"nan:0"]),
        (np.array([[-(2**63), 5, 5]], np.int64), [b"5:1", b"5:2", b"-9223372036854775808:0"]),
        (np.array([[0, 2**64 - 1, 1]], np.uint64), [b"18446744073709551615:1", b"1:2", b"0:0"]),
        (np.array([[1, 3, 2]], DType.BF16.numpy), [b"3.000000:1", b"2.000000:2", b"1.000000:0"]),
        (np.array([4.0], np.float64), [b"4.000000:0"]),
    ],
)
def test_classification_orders_every_type_and_gives_at_most_all_classes(scores: Array, expected: list[bytes]) -> None:
    answer, raw = split(classified(scores, 99, ("too", "few"), is_binary=True))
    assert answer["outputs"][0]["shape"] == [1, len(expected)]
    joined = np.array(expected, dtype=object)
    assert raw == bytes_from_array(joined)
    assert as_bytes(joined) == expected


def test_texts_cannot_be_classified() -> None:
    with pytest.raises(InvalidInputError, match="not rows of numbers"):
        classified(np.array([["a"]], dtype=object), 1)
