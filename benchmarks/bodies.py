"""Request bodies in every form that a server of the benchmark takes, and what must come back.

v1-json     {"instances": [...]}, TF Serving's form; answers with `predictions`, or a bare list
v2-json     the Open Inference Protocol's JSON, values flat
v2-binary   its binary extension: a JSON header, then little-endian floats; binary back
raw         little-endian floats and nothing else, both ways, for servers without V2
grpc        ModelInferRequest with raw contents
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.model import CLASSES, INPUT, NAME, OUTPUT

TOLERANCE = 1e-4
HEADER_LENGTH = "Inference-Header-Content-Length"

Rows = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Body:
    """A request body with the headers that belong to it."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def encode(form: str, rows: Rows) -> Body:
    """Return the request for rows (n, 28, 28, 1) FP32."""
    return _ENCODERS[form](rows)


def decode(form: str, content: bytes, headers: Mapping[str, str]) -> Rows:
    """Return the probabilities (n, 10) of an answer.

    Raises: ValueError or KeyError if it is not of the form.
    """
    found = _DECODERS[form](content, headers)
    return np.asarray(found, np.float32).reshape(-1, CLASSES)


def difference(form: str, content: bytes, headers: Mapping[str, str], expected: Rows) -> str:
    """Return what is wrong with an answer; empty if it is what the engine gives in-process."""
    try:
        found = decode(form, content, headers)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return f"not an answer of the form {form}: {error!r:.100}"
    if found.shape != expected.shape:
        return f"an answer of shape {found.shape}, not {expected.shape}"
    worst = float(np.abs(found - expected).max())
    return f"values differ by up to {worst:.2g}, more than {TOLERANCE}" if worst > TOLERANCE else ""


def _v1_json(rows: Rows) -> Body:
    return _json({"instances": _short(rows)})


def _v2_json(rows: Rows) -> Body:
    tensor = {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32", "data": _short(rows.ravel())}
    return _json({"inputs": [tensor]})


def _v2_binary(rows: Rows) -> Body:
    raw = rows.astype("<f4").tobytes()
    parameters = {"binary_data_size": len(raw)}
    tensor = {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32", "parameters": parameters}
    output = {"name": OUTPUT, "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Body(head + raw, headers)


def _raw(rows: Rows) -> Body:
    return Body(rows.astype("<f4").tobytes(), {"Content-Type": "application/octet-stream"})


def _grpc(rows: Rows) -> Body:
    from inference.protocols.protos.open_inference_pb2 import ModelInferRequest

    message = ModelInferRequest(model_name=NAME)
    tensor = message.inputs.add(name=INPUT, datatype="FP32")
    tensor.shape.extend(rows.shape)
    message.outputs.add(name=OUTPUT)
    message.raw_input_contents.append(rows.astype("<f4").tobytes())
    return Body(message.SerializeToString())


def _json(value: Any) -> Body:
    return Body(json.dumps(value).encode(), {"Content-Type": "application/json"})


def _short(values: Any) -> Any:
    # The digits that the client wrote: 0.6, not the 0.6000000238418579 that a double makes of it.
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return [_short(part) for part in values]
    return [float(f"{value:.7g}") for value in values]


def _read_v1(content: bytes, headers: Mapping[str, str]) -> Any:
    answer = json.loads(content)
    return answer["predictions"] if isinstance(answer, dict) else answer


def _read_v2(content: bytes, headers: Mapping[str, str]) -> Any:
    return json.loads(content)["outputs"][0]["data"]


def _read_v2_binary(content: bytes, headers: Mapping[str, str]) -> Any:
    length = next((int(value) for name, value in headers.items() if name.lower() == HEADER_LENGTH.lower()), None)
    return _read_v2(content, headers) if length is None else np.frombuffer(content[length:], "<f4")


def _read_raw(content: bytes, headers: Mapping[str, str]) -> Any:
    return np.frombuffer(content, "<f4")


def _read_grpc(content: bytes, headers: Mapping[str, str]) -> Any:
    from google.protobuf.message import DecodeError

    from inference.protocols.protos.open_inference_pb2 import ModelInferResponse

    try:
        answer = ModelInferResponse.FromString(content)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if answer.raw_output_contents:
        return np.frombuffer(answer.raw_output_contents[0], "<f4")
    return list(answer.outputs[0].contents.fp32_contents)


_ENCODERS: dict[str, Callable[[Rows], Body]] = {
    "v1-json": _v1_json,
    "v2-json": _v2_json,
    "v2-binary": _v2_binary,
    "raw": _raw,
    "grpc": _grpc,
}
_DECODERS: dict[str, Callable[[bytes, Mapping[str, str]], Any]] = {
    "v1-json": _read_v1,
    "v2-json": _read_v2,
    "v2-binary": _read_v2_binary,
    "raw": _read_raw,
    "grpc": _read_grpc,
}
