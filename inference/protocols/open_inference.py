"""The Open Inference Protocol, version 2, over REST: infer, with JSON tensors and binary ones.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md;
triton-inference-server/server, docs/protocol/extension_binary_data.md. JSON tensors in the request
may be flat or nested; in the answer they are flat, in row-major order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature
from inference.protocols.binary_tensors import (
    HEAD_SIZE_HEADER,
    array_from_bytes,
    array_from_raw_body,
    bytes_from_array,
)
from inference.protocols.classification import classify_output
from inference.protocols.infer_heads import InferHead, layout_of, read_head
from inference.protocols.json_arrays import array_from_flat, json_value
from inference.protocols.json_body import dump
from inference.protocols.messages import BINARY_CONTENT, Array, Arrays, Encoded, Form, InferRequest, InferResponse
from inference.protocols.tensor_rules import select_outputs

_HEAD_SIZE = HEAD_SIZE_HEADER.lower().encode()
_TENSORS = Form.TENSORS  # looking a member up on its class is slow


def decode_infer(body: bytes, signature: Signature, *, head_size: int | None = None) -> InferRequest:
    """Return the request in an `infer` body, whose first `head_size` bytes are JSON.

    None: all of it is; 0: there is no JSON, the body is the one input. `parameters` that are not of
    an extension are allowed and have no effect.
    Raises: InvalidInputError naming the rule and the value.
    """
    if head_size == 0:
        return _decode_raw(body, signature)
    head = read_head(body if head_size is None else body[:head_size], signature)
    start = len(body) if head_size is None else head_size
    if head.size_bytes != len(body) - start:
        raise InvalidInputError(
            f"the inputs say {head.size_bytes} bytes of binary data; {len(body) - start} come after the JSON part "
            f"({HEAD_SIZE_HEADER} says where it ends)"
        )
    return InferRequest(
        inputs=_arrays(body, start, head),
        form=_TENSORS,
        outputs=head.outputs,
        id=head.id,
        layout=head.layout,
        urgency=head.urgency,
        subject=head.subject,
    )


def encode_infer(request: InferRequest, response: InferResponse) -> Encoded:
    """Return the outputs asked for, with the request's id or else the prediction's.

    With a binary output, the body is JSON and then the raw bytes, in the outputs' order.
    Raises: InvalidInputError for an output that cannot be classified.
    """
    layout = request.layout
    tensors, raw = [], []
    for name, array in select_outputs(response.outputs, request.outputs).items():
        if layout.classes and name in layout.classes:
            array = classify_output(name, array, layout.classes[name], response.labels)
        if name in layout.binary:
            data = bytes_from_array(array)
            raw.append(data)
            tensors.append(_described(name, array, "parameters", {"binary_data_size": len(data)}))
        else:
            tensors.append(_described(name, array, "data", _json_data(name, array)))
    head = dump(_answer(request, response, tensors))
    if not raw:
        return Encoded(head)
    return Encoded(b"".join((head, *raw)), BINARY_CONTENT, ((_HEAD_SIZE, b"%d" % len(head)),))


def _answer(request: InferRequest, response: InferResponse, tensors: list[dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"model_name": response.model, "model_version": str(response.version)}
    answer["id"] = request.id or response.prediction_id
    if request.id:
        answer["parameters"] = {"prediction_id": response.prediction_id}
    answer["outputs"] = tensors
    return answer


def _decode_raw(body: bytes, signature: Signature) -> InferRequest:
    if len(signature.inputs) != 1:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise InvalidInputError(f"a raw body is for a model of one input; this one has {names}")
    spec = signature.inputs[0]
    return InferRequest(
        inputs={spec.name: array_from_raw_body(body, spec)},
        form=_TENSORS,
        layout=layout_of(signature, is_binary=True),
    )


def _arrays(body: bytes, start: int, head: InferHead) -> Arrays:
    arrays: Arrays = {}
    for item in head.inputs:
        if item.size_bytes is None:
            arrays[item.spec.name] = array_from_flat(item.data, item.shape, item.spec)
        else:
            arrays[item.spec.name] = array_from_bytes(body, start, item.size_bytes, item.shape, item.spec)
            start += item.size_bytes
    return arrays


def _described(name: str, array: Array, key: str, value: Any) -> dict[str, Any]:
    return {"name": name, "shape": array.shape, "datatype": DType.of(array.dtype), key: value}


def _json_data(name: str, array: Array) -> Any:
    data = json_value(name, array.reshape(-1))
    return np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data
