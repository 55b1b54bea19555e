"""What the benchmarks send is what each protocol says, and a wrong answer is noticed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aiplatform.tensors import DType, Signature, TensorSpec
from benchmarks import bodies
from benchmarks.model import CLASSES, OUTPUT, sample_rows
from inference.protocols.open_inference import decode_infer
from inference.protocols.protos.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from inference.protocols.tf_serving import decode_predict

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 28, 28, 1)),),
    outputs=(TensorSpec(name=OUTPUT, dtype=DType.FP32, shape=(-1, CLASSES)),),
)
ANSWER = np.linspace(0, 1, 2 * CLASSES, dtype=np.float32).reshape(2, CLASSES)


def answer_of(form: str, values: np.ndarray[Any, Any]) -> tuple[bytes, dict[str, str]]:
    """Return an answer as a server would write it."""
    if form == "raw":
        return values.tobytes(), {}
    if form == "v1-json":
        return json.dumps({"predictions": values.tolist()}).encode(), {}
    if form == "grpc":
        message = ModelInferResponse()
        message.outputs.add(name=OUTPUT, datatype="FP32")
        message.raw_output_contents.append(values.tobytes())
        return message.SerializeToString(), {}
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": list(values.shape)}
    if form == "v2-json":
        return json.dumps({"outputs": [{**output, "data": values.ravel().tolist()}]}).encode(), {}
    head = json.dumps({"outputs": [{**output, "parameters": {"binary_data_size": values.nbytes}}]}).encode()
    return head + values.tobytes(), {"inference-header-content-length": str(len(head))}


@pytest.mark.parametrize("form", ["v1-json", "v2-json", "v2-binary", "raw", "grpc"])
def test_a_right_answer_is_accepted_and_a_wrong_one_is_not(form: str) -> None:
    content, headers = answer_of(form, ANSWER)
    assert bodies.difference(form, content, headers, ANSWER) == ""
    assert "differ" in bodies.difference(form, content, headers, ANSWER + 0.01)
    assert "shape" in bodies.difference(form, content, headers, ANSWER[:1])
    assert "not an answer" in bodies.difference(form, b"{}" if "json" in form else b"\x01\x02\x03", {}, ANSWER)


@pytest.mark.parametrize(("form", "decode"), [("v1-json", decode_predict), ("v2-json", decode_infer)])
def test_the_platforms_own_codecs_read_the_same_rows(form: str, decode: Any) -> None:
    rows = sample_rows(3)
    found = decode(bodies.encode(form, rows).content, SIGNATURE).inputs["image"]
    np.testing.assert_allclose(found, rows, rtol=1e-6)


def test_the_grpc_request_holds_the_rows_and_their_shape() -> None:
    rows = sample_rows(2)
    message = ModelInferRequest.FromString(bodies.encode("grpc", rows).content)
    assert list(message.inputs[0].shape) == [2, 28, 28, 1]
    assert message.raw_input_contents[0] == rows.tobytes()


def test_the_binary_request_says_where_its_floats_begin() -> None:
    rows = sample_rows(1)
    body = bodies.encode("v2-binary", rows)
    length = int(body.headers[bodies.HEADER_LENGTH])
    assert json.loads(body.content[:length])["inputs"][0]["parameters"]["binary_data_size"] == rows.nbytes
    assert body.content[length:] == rows.tobytes()


def test_sample_rows_are_short_numbers_between_zero_and_one() -> None:
    values = sample_rows(2).ravel()
    assert values.min() >= 0
    assert values.max() <= 1
    assert all(len(f"{value:.7g}".lstrip("0.").replace("-", "")) <= 4 or "e" in f"{value:.7g}" for value in values)
