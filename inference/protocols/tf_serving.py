"""TF Serving's REST protocol, version 1: predict, status and metadata.

Source: tensorflow/serving, g3doc/api_rest.md. Also taken: `null` for NaN, and a column of shape
(n, 1) as plain values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, Signature, TensorSpec
from inference.protocols.json_arrays import json_value, rows_of
from inference.protocols.json_body import dump, parse_object
from inference.protocols.messages import Array, Encoded, Form, InferRequest, InferResponse
from inference.protocols.tf_rows import arrays_from_columns, arrays_from_instances

_NAMES_ANY = ("", "serving_default")  # what clients send when they mean the only signature


def decode_predict(body: bytes, signature: Signature) -> InferRequest:
    """Return the request in a `:predict` body.

    Raises: InvalidInputError naming the rule and the value.
    """
    message = parse_object(body)
    _check_signature_name(message.get("signature_name", ""), signature)
    if ("instances" in message) == ("inputs" in message):
        state = "both" if "instances" in message else "neither"
        raise InvalidInputError(f"the request must have either 'instances' or 'inputs'; it has {state}")
    if "instances" in message:
        return InferRequest(inputs=arrays_from_instances(message["instances"], signature), form=Form.ROWS)
    return InferRequest(inputs=arrays_from_columns(message["inputs"], signature), form=Form.COLUMNS)


def encode_predict(request: InferRequest, response: InferResponse) -> Encoded:
    """Return `predictions` for the row form, `outputs` for the columnar form."""
    outputs = response.outputs
    if request.form is Form.COLUMNS:
        values = {name: json_value(name, array) for name, array in outputs.items()}
        return Encoded(dump({"outputs": next(iter(values.values())) if len(values) == 1 else values}))
    if len(outputs) == 1:
        name, array = next(iter(outputs.items()))
        return Encoded(dump({"predictions": json_value(name, rows_of(name, array))}))
    columns = {name: _row_values(name, array) for name, array in outputs.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Encoded(dump({"predictions": rows}))


def encode_status(states: list[tuple[int, str, str]]) -> Encoded:
    """Return the status of versions, each (version, 'AVAILABLE' | 'LOADING' | ..., message)."""
    return Encoded(dump({"model_version_status": [_version_status(*state) for state in states]}))


def encode_metadata(model: str, version: int, signature: Signature) -> Encoded:
    """Return the signature as TF Serving writes it, `signature_def` within `signature_def`."""
    definition = {
        "inputs": {spec.name: _tensor_info(spec, signature.name) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec, "StatefulPartitionedCall") for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return Encoded(
        dump(
            {
                "model_spec": {"name": model, "signature_name": "", "version": str(version)},
                "metadata": {"signature_def": {"signature_def": {signature.name: definition}}},
            }
        )
    )


def _check_signature_name(name: Any, signature: Signature) -> None:
    if not isinstance(name, str) or name not in (*_NAMES_ANY, signature.name):
        raise InvalidInputError(f"signature_name must be '{signature.name}', not {name!r:.80}")


def _row_values(name: str, array: Array) -> list[Any]:
    value = json_value(name, rows_of(name, array))
    return list(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else list(value)


def _version_status(version: int, state: str, message: str) -> dict[str, Any]:
    code = "OK" if not message else "UNKNOWN"
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def _tensor_info(spec: TensorSpec, operation: str) -> dict[str, Any]:
    dims = [{"size": str(FREE if size == FREE else size), "name": ""} for size in spec.shape]
    return {
        "dtype": spec.dtype.tensorflow_name,
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": f"{operation}_{spec.name}:0",
    }
