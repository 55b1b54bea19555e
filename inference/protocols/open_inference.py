"""The Open Inference Protocol, version 2, over REST with JSON tensors.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md. Tensors in the
request may be flat or nested; in the answer they are flat, in row-major order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.json_arrays import array_from_flat, json_value
from inference.protocols.json_body import dump, json_kind
from inference.protocols.messages import Array, Arrays, Encoded, Form, InferRequest, InferResponse
from inference.protocols.number_text import parse_lifting
from inference.protocols.tensor_rules import check_names, check_output_names, select_outputs

SERVER_NAME = "aiplatform"


def decode_infer(body: bytes, signature: Signature) -> InferRequest:
    """Return the request in an `infer` body. `parameters` are allowed and have no effect.

    Raises: InvalidInputError naming the rule and the value.
    """
    message = parse_lifting(body, ("data",))
    request_id = message.get("id", "")
    if not isinstance(request_id, str):
        raise InvalidInputError(f"'id' must be a string, not {json_kind(request_id)}")
    wanted = tuple(_text(item, "name", "outputs") for item in _objects(message.get("outputs"), "outputs"))
    check_output_names(signature, wanted)
    return InferRequest(
        inputs=_inputs(message.get("inputs"), signature), form=Form.TENSORS, outputs=wanted, id=request_id
    )


def encode_infer(request: InferRequest, response: InferResponse) -> Encoded:
    """Return the outputs asked for as JSON tensors, with the request's id or else the prediction's."""
    outputs = select_outputs(response.outputs, request.outputs)
    return Encoded(
        dump(
            {
                "model_name": response.model,
                "model_version": str(response.version),
                "id": request.id or response.prediction_id,
                "outputs": [_tensor(name, array) for name, array in outputs.items()],
            }
        )
    )


def encode_server(version: str) -> Encoded:
    """Return what the server is and which extensions it has."""
    return Encoded(dump({"name": SERVER_NAME, "version": version, "extensions": []}))


def encode_model(model: str, versions: list[int], platform: str, signature: Signature) -> Encoded:
    """Return a model's inputs and outputs."""
    return Encoded(
        dump(
            {
                "name": model,
                "versions": [str(version) for version in versions],
                "platform": platform,
                "inputs": [_tensor_spec(spec) for spec in signature.inputs],
                "outputs": [_tensor_spec(spec) for spec in signature.outputs],
            }
        )
    )


def encode_flag(name: str, value: bool, /, **more: str) -> Encoded:
    """Return a yes or no, as health and readiness are answered."""
    return Encoded(dump({**more, name: value}))


def _inputs(items: Any, signature: Signature) -> Arrays:
    arrays: Arrays = {}
    for item in _objects(items, "inputs"):
        name = _text(item, "name", "inputs")
        if name in arrays:
            raise InvalidInputError(f"input '{name:.80}' is given twice")
        arrays[name] = _input(item, signature.input(name))
    check_names(signature, arrays)
    return arrays


def _input(item: dict[str, Any], spec: TensorSpec) -> Array:
    datatype = _text(item, "datatype", "inputs")
    if datatype != spec.dtype.value:
        raise InvalidInputError(f"input '{spec.name}' must have datatype {spec.dtype.value}, not {datatype:.80}")
    if "data" not in item:
        raise InvalidInputError(f"input '{spec.name}' has no 'data'; binary tensors are not taken here")
    return array_from_flat(item["data"], _shape(item.get("shape"), spec), spec)


def _shape(value: Any, spec: TensorSpec) -> list[int]:
    if not isinstance(value, list) or any(type(size) is not int or size < 0 for size in value):
        raise InvalidInputError(f"input '{spec.name}': 'shape' must be an array of whole numbers, not {value!r:.80}")
    return value


def _objects(items: Any, field: str) -> list[dict[str, Any]]:
    if items is None and field == "outputs":
        return []
    if not isinstance(items, list) or any(not isinstance(item, dict) for item in items):
        raise InvalidInputError(f"'{field}' must be an array of objects, each a tensor with its name")
    return items


def _text(item: dict[str, Any], key: str, field: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise InvalidInputError(f"each of '{field}' must have a string '{key}', not {json_kind(value)}")
    return value


def _tensor(name: str, array: Array) -> dict[str, Any]:
    data = json_value(name, array.reshape(-1))
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": DType.of(array.dtype).value,
        "data": np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data,
    }


def _tensor_spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": list(spec.shape)}
