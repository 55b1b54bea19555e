"""The client's side of the Open Inference Protocol V2: requests written, answers read.

Source: kserve/open-inference-protocol, inference_rest.md; Triton's protocol extension
`binary_tensor_data`: JSON, then raw little-endian tensors; BYTES elements after a 4-byte length.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from aiplatform.errors import ArtifactError, RemoteModelError
from aiplatform.remote_models import RemoteModel
from aiplatform.tensors import DType, Signature
from inference.engines.base import Arrays

HEADER_LENGTH = "Inference-Header-Content-Length"
# What reading somebody else's answer may raise.
_UNREADABLE = (
    msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error,
)  # fmt: skip
Array = np.ndarray[Any, Any]
Message = tuple[bytes, dict[str, str]]


class V2Codec(ABC):
    """What both forms share."""

    def __init__(self, remote: RemoteModel, signature: Signature) -> None:
        self._remote = remote
        self._outputs = {spec.name: spec.dtype for spec in signature.outputs}
        self._inputs = {spec.name: spec.dtype for spec in signature.inputs}
        self.path = f"{remote.path}/infer"

    @abstractmethod
    def encode(self, inputs: Arrays) -> Message:
        """Return a request's body and headers."""

    def decode(self, headers: Mapping[str, str], body: bytes) -> Arrays:
        """Return the outputs in an answer, in the signature's order.

        Raises: RemoteModelError if it is not what was asked for.
        """
        try:
            found = self._read(headers, body)
        except _UNREADABLE as error:
            raise RemoteModelError(
                f"{self._remote} answered something else than V2 tensors: {type(error).__name__}: {error}"
            ) from error
        missing = [name for name in self._outputs if name not in found]
        if missing:
            raise RemoteModelError(f"{self._remote} answered without the outputs {missing}")
        return {name: found[name] for name in self._outputs}

    def _read(self, headers: Mapping[str, str], body: bytes) -> Arrays:
        length = headers.get(HEADER_LENGTH)
        cut = len(body) if length is None else int(length)
        if not 0 <= cut <= len(body):
            raise ValueError(f"{HEADER_LENGTH} is {cut}; the body has {len(body)} bytes")
        message = msgspec.json.decode(body[:cut])
        found: Arrays = {}
        for item in message["outputs"]:
            size = item.get("parameters", {}).get("binary_data_size")
            if item["name"] not in self._outputs:
                cut += size or 0
            elif size is None:
                found[item["name"]] = self._from_json(item)
            else:
                found[item["name"]] = self._from_raw(item, body[cut : cut + size], size)
                cut += size
        return found

    def _from_json(self, item: Mapping[str, Any]) -> Array:
        dtype = self._dtype(item)
        if dtype is DType.BYTES:
            array = np.empty(len(item["data"]), dtype=object)
            array[:] = item["data"]
        else:
            array = np.asarray(item["data"], dtype=dtype.numpy)
        return array.reshape(item["shape"])

    def _from_raw(self, item: Mapping[str, Any], raw: bytes, size: int) -> Array:
        if len(raw) != size:
            raise ValueError(f"output '{item['name']}' has {len(raw)} bytes of {size}")
        dtype = self._dtype(item)
        array = split_bytes(raw) if dtype is DType.BYTES else np.frombuffer(raw, dtype.numpy.newbyteorder("<"))
        return array.reshape(item["shape"])

    def _dtype(self, item: Mapping[str, Any]) -> DType:
        dtype = self._outputs[item["name"]]
        if item["datatype"] != dtype.value:
            raise ValueError(f"output '{item['name']}' is {item['datatype']}, not {dtype.value}")
        return dtype


class V2BinaryCodec(V2Codec):
    """JSON with the tensors raw behind it, both ways."""

    def encode(self, inputs: Arrays) -> Message:
        """Return a request's body and headers."""
        raw = {name: self._raw(name, array) for name, array in inputs.items()}
        message = {
            "inputs": [
                {
                    "name": name,
                    "datatype": self._inputs[name].value,
                    "shape": list(array.shape),
                    "parameters": {"binary_data_size": len(raw[name])},
                }
                for name, array in inputs.items()
            ],
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in self._outputs],
        }
        head = msgspec.json.encode(message)
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
        return b"".join([head, *raw.values()]), headers

    def _raw(self, name: str, array: Array) -> bytes:
        dtype = self._inputs[name]
        if dtype is DType.BYTES:
            return join_bytes(array)
        return np.ascontiguousarray(array, dtype.numpy.newbyteorder("<")).tobytes()


class V2JsonCodec(V2Codec):
    """Everything in JSON, for servers without the binary extension."""

    def __init__(self, remote: RemoteModel, signature: Signature) -> None:
        super().__init__(remote, signature)
        half = [name for name, dtype in (self._inputs | self._outputs).items() if dtype is DType.FP16]
        if half:
            raise ArtifactError(f"{remote} takes JSON only, which has no FP16: {half}")

    def encode(self, inputs: Arrays) -> Message:
        """Return a request's body and headers."""
        message = {
            "inputs": [
                {"name": name, "datatype": self._inputs[name].value, "shape": list(array.shape), "data": _plain(array)}
                for name, array in inputs.items()
            ],
            "outputs": [{"name": name} for name in self._outputs],
        }
        return msgspec.json.encode(message), {"Content-Type": "application/json"}


def join_bytes(array: Array) -> bytes:
    """Return a BYTES tensor's elements, each after its length."""
    pieces = []
    for value in array.ravel().tolist():
        raw = value if isinstance(value, bytes) else str(value).encode()
        pieces += [struct.pack("<I", len(raw)), raw]
    return b"".join(pieces)


def split_bytes(raw: bytes) -> Array:
    """Return the elements of a BYTES tensor, flat; ValueError if a length is wrong."""
    found, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + length > len(raw):
            raise ValueError(f"an element of {length} bytes ends beyond the tensor")
        found.append(raw[at : at + length])
        at += length
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def _plain(array: Array) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
