"""Requests that are known by their beginning mean what a parser says they mean."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature
from inference.protocols import grpc_v2
from inference.protocols.grpc_known import LONGEST_START_BYTES, MOST_KNOWN, KnownInferCalls
from inference.protocols.messages import Form, InferRequest, InferResponse, OutputLayout
from inference.protocols.protos.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from tests.inference.calls.support import infer_request
from tests.inference.serving_fakes import DOUBLING, spec


def decoded(known: KnownInferCalls, body: bytes, signature: Signature = DOUBLING) -> list[Any]:
    request = known.parse(body).decode(body, signature)
    return [request.outputs, request.id, *(array.tolist() for array in request.inputs.values())]


def plainly(body: bytes, signature: Signature = DOUBLING) -> list[Any]:
    request = grpc_v2.decode_infer(grpc_v2.parse_infer(body), signature)
    return [request.outputs, request.id, *(array.tolist() for array in request.inputs.values())]


def test_the_second_request_of_a_kind_is_known_and_has_its_own_values() -> None:
    known = KnownInferCalls()
    first = known.parse(infer_request(1, 2))
    assert known.parse(infer_request(3, 4)) is first
    assert decoded(known, infer_request(3, 4)) == [(), "", [[3, 3], [4, 4]]]
    assert decoded(known, infer_request(5, 6)) == [(), "", [[5, 5], [6, 6]]]
    assert known.parse(infer_request(1)) is not first
    assert known.parse(infer_request(1, 2, version="1")) is not first


def test_another_version_with_another_signature_reads_the_request_anew() -> None:
    known = KnownInferCalls()
    assert decoded(known, infer_request(1)) == [(), "", [[1, 1]]]
    other = Signature(inputs=(spec("x", shape=(-1, 3)),), outputs=(spec("y"),))
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="shape"):
            decoded(known, infer_request(1), other)
    assert decoded(known, infer_request(2)) == [(), "", [[2, 2]]]


def test_what_is_kept_is_bounded_and_keeps_no_tensor() -> None:
    known = KnownInferCalls()
    for number in range(MOST_KNOWN + 10):
        call = known.parse(infer_request(1, model=f"m{number}"))
        assert call._message is None
    assert known._count == 10
    long = infer_request(1, model="m" * LONGEST_START_BYTES)
    assert known.parse(long) is not known.parse(long)


@given(
    st.lists(st.binary(max_size=24), max_size=6), st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4)
)
def test_a_known_beginning_never_changes_what_a_body_means(junk: list[bytes], values: list[float]) -> None:
    """Bodies that are cut, joined with others, or have unknown fields in any place."""
    known = KnownInferCalls()
    body = infer_request(*values)
    raw = np.array([[v, v] for v in values], dtype=np.float32).tobytes()
    tail = b"\x3a" + grpc_v2.varint(len(raw)) + raw
    fields = [b"\x7a" + grpc_v2.varint(len(piece)) + piece for piece in (*junk, tail, raw)]  # field 15: unknown
    bodies = [
        body,
        infer_request(*values[::-1]),
        *(body + field for field in fields),
        *(field + body for field in fields),
    ]
    bodies += [body[: -len(tail)] + field + tail for field in fields] + [body + tail, tail + body, body[:-1]]
    for _ in range(2):
        for each in bodies:
            expected: Any = InvalidInputError
            with contextlib.suppress(InvalidInputError):
                expected = plainly(each)
            try:
                assert decoded(known, each) == expected
            except InvalidInputError:
                assert expected is InvalidInputError


def test_a_bool_is_checked_in_every_request() -> None:
    signature = Signature(inputs=(spec("x", DType.BOOL),), outputs=(spec("y"),))
    message = ModelInferRequest(model_name="m")
    message.inputs.add(name="x", datatype="BOOL", shape=[1, 2])
    message.raw_input_contents.append(b"\1\0")
    known = KnownInferCalls()
    assert decoded(known, message.SerializeToString(), signature) == [(), "", [[True, False]]]
    message.raw_input_contents[0] = b"\2\0"
    with pytest.raises(InvalidInputError, match="0 or 1"):
        decoded(known, message.SerializeToString(), signature)


@given(
    model=st.text(max_size=200),
    version=st.integers(0, 10**9),
    request_id=st.text(max_size=200),
    prediction_id=st.sampled_from(["0123456789abcdef" * 2, "short"]),
    rows=st.integers(1, 70),
    asked=st.sampled_from([(), ("b",), ("b", "a")]),
)
def test_an_answer_written_by_hand_is_what_protobuf_reads(
    model: str, version: int, request_id: str, prediction_id: str, rows: int, asked: tuple[str, ...]
) -> None:
    outputs: dict[str, Any] = {
        "a": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3),
        "b": np.array([b"x" * n for n in range(rows)], dtype=object),
    }
    request = InferRequest(inputs={}, form=Form.TENSORS, outputs=asked, id=request_id, layout=OutputLayout())
    response = InferResponse(model=model, version=version, prediction_id=prediction_id, outputs=outputs)
    message = ModelInferResponse.FromString(grpc_v2.encode_infer(request, response, is_raw=True))
    assert (message.model_name, message.model_version) == (model, str(version))
    assert message.id == (request_id or prediction_id)
    assert message.parameters["prediction_id"].string_param == prediction_id
    names = list(asked) or ["a", "b"]
    assert [(t.name, t.datatype, list(t.shape)) for t in message.outputs] == [
        {"a": ("a", "FP32", [rows, 3]), "b": ("b", "BYTES", [rows])}[name] for name in names
    ]
    raw = dict(zip(names, message.raw_output_contents, strict=True))
    if "a" in raw:
        assert raw["a"] == outputs["a"].tobytes()
    assert raw["b"] == b"".join(len(v).to_bytes(4, "little") + v for v in outputs["b"])
