"""The client's side of TF Serving's REST API, in its column form.

Source: tensorflow.org/tfx/serving/api_rest. NaN and Infinity travel as bare tokens, binary
strings as {"b64": ...}.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from aiplatform.errors import RemoteModelError
from aiplatform.remote_models import RemoteModel
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines.base import Arrays

Array = np.ndarray[Any, Any]


class TfServingCodec:
    """Writes `inputs`, reads `outputs`."""

    def __init__(self, remote: RemoteModel, signature: Signature) -> None:
        self._remote = remote
        self._signature = signature
        self.path = f"{remote.path}:predict"

    def encode(self, inputs: Arrays) -> tuple[bytes, dict[str, str]]:
        """Return a request's body and headers."""
        columns = {spec.name: _column(spec, inputs[spec.name]) for spec in self._signature.inputs}
        message = {"signature_name": self._signature.name, "inputs": columns}
        return json.dumps(message).encode(), {"Content-Type": "application/json"}

    def decode(self, headers: Mapping[str, str], body: bytes) -> Arrays:
        """Return the outputs in an answer, in the signature's order.

        Raises: RemoteModelError if it is not what was asked for.
        """
        try:
            found = json.loads(body)["outputs"]
            specs = self._signature.outputs
            # A single output comes without its name.
            columns = found if isinstance(found, dict) and specs[0].name in found else {specs[0].name: found}
            return {spec.name: _array(spec, columns[spec.name]) for spec in specs}
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise RemoteModelError(
                f"{self._remote} answered something else than outputs: {type(error).__name__}: {error}"
            ) from error


def _column(spec: TensorSpec, array: Array) -> Any:
    if spec.dtype is not DType.BYTES:
        return array.tolist()
    return _each(array.tolist(), _to_text)


def _array(spec: TensorSpec, column: Any) -> Array:
    if spec.dtype is not DType.BYTES:
        return np.asarray(column, dtype=spec.dtype.numpy)
    return np.asarray(_each(column, _from_text), dtype=object)


def _to_text(value: Any) -> Any:
    if not isinstance(value, bytes):
        return str(value)
    return {"b64": base64.b64encode(value).decode()}


def _from_text(value: Any) -> Any:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value)


def _each(value: Any, change: Any) -> Any:
    return [_each(item, change) for item in value] if isinstance(value, list) else change(value)
