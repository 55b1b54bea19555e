"""TF Serving's REST protocol, version 1: predict, status and metadata.

Source: tensorflow/serving, g3doc/api_rest.md, and what its util/json_tensor.cc does. Also taken:
`null` for NaN, and a column of shape (n, 1) as plain values. Differences: docs/protocols.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, Signature, TensorSpec
from inference.protocols.json_arrays import json_value, rows_of, with_tokens
from inference.protocols.json_body import dump
from inference.protocols.messages import Array, Arrays, Encoded, Form, InferRequest, InferResponse
from inference.protocols.number_text import parse_lifting
from inference.protocols.tf_rows import (
    arrays_from_columns,
    arrays_from_instances,
    long_array_keys,
    read_usual_instances,
)

_NAMES_ANY = ("", "serving_default")  # what clients send when they mean the only signature


def decode_predict(body: bytes, signature: Signature) -> InferRequest:
    """Return the request in a `:predict` body.

    Raises: InvalidInputError naming the rule and the value.
    """
    usual = read_usual_instances(body, signature)
    if usual is not None:
        return InferRequest(inputs=usual, form=Form.ROWS)
    message = parse_lifting(body, long_array_keys(signature), takes_tokens=True)
    check_signature_name(message.get("signature_name", ""), signature)
    if ("instances" in message) == ("inputs" in message):
        state = "both" if "instances" in message else "neither"
        raise InvalidInputError(f"the request must have either 'instances' or 'inputs'; it has {state}")
    if "instances" in message:
        return InferRequest(inputs=arrays_from_instances(message["instances"], signature), form=Form.ROWS)
    return InferRequest(inputs=arrays_from_columns(message["inputs"], signature), form=Form.COLUMNS)


def encode_predict(request: InferRequest, response: InferResponse) -> Encoded:
    """Return `predictions` for the row form, `outputs` for the columnar form."""
    columnar = request.form is Form.COLUMNS
    message = _columns(response.outputs) if columnar else _rows(response.outputs)
    return Encoded(dump_with_tokens(message))


def dump_with_tokens(message: dict[str, Any]) -> bytes:
    """Return JSON with NaN and infinities as the tokens that TF Serving writes."""
    body = dump(message)
    # `null` is rare (and may be part of a text): only then are the numbers looked at.
    return dump(_tokens(message)) if b"null" in body else body


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


def check_signature_name(name: Any, signature: Signature, *also: str) -> None:
    """Raise InvalidInputError for a signature that the model does not have."""
    if not isinstance(name, str) or name not in {*_NAMES_ANY, *also, signature.name}:
        raise InvalidInputError(f"signature_name must be '{signature.name}', not {name!r:.80}")


def _columns(outputs: Arrays) -> dict[str, Any]:
    values = {name: json_value(name, array) for name, array in outputs.items()}
    return {"outputs": next(iter(values.values())) if len(values) == 1 else values}


def _rows(outputs: Arrays) -> dict[str, Any]:
    if len(outputs) == 1:
        name, array = next(iter(outputs.items()))
        return {"predictions": json_value(name, rows_of(name, array))}
    columns = {name: _row_values(name, array) for name, array in outputs.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"the outputs differ in their number of rows ({lengths}); ask with 'inputs'")
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def _tokens(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tokens(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_tokens(item) for item in value]
    return with_tokens(value)


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
