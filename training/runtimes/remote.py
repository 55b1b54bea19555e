"""A model on another server (V2 or TF Serving's REST protocol): its signature and its answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec
import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError, UnavailableError
from aiplatform.tensors import FREE, DType, TensorSpec
from training.runtimes.base import ModelForm, RuntimeOptions, reading
from training.runtimes.files import FILES
from training.runtimes.saved_model import DEFAULT_SIGNATURE
from training.runtimes.signatures import join_by_name

FILE = FILES[ModelForm.REMOTE]
TIMEOUT_S = 30.0
_DTYPES = {dtype.tensorflow_name: dtype for dtype in DType}


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """Where a model answers. `version` empty: the server chooses. Kept as `model/remote.json`."""

    protocol: Literal["v2", "tf_serving"]
    url: str
    model: str
    version: str = ""


def open_model(path: Path, options: RuntimeOptions) -> RemoteRuntime:
    """Ask the server for the model's signature."""
    with reading(f"'{path.name}' cannot be read"):
        place = msgspec.json.decode(path.read_bytes(), type=RemoteModel)
    protocol = _V2(place) if place.protocol == "v2" else _TfServing(place, options.signature_name or DEFAULT_SIGNATURE)
    with reading(f"{place.url} does not describe '{place.model}' as the protocol {place.protocol} asks"):
        return RemoteRuntime(path, protocol, options)


class RemoteRuntime:
    """One model of a server."""

    def __init__(self, path: Path, protocol: _V2 | _TfServing, options: RuntimeOptions) -> None:
        self._path, self._protocol = path, protocol
        self.signature_name = protocol.signature_name
        inputs, outputs = protocol.describe()
        self.inputs = join_by_name("inputs", inputs, options.given.inputs)
        self.outputs = join_by_name("outputs", outputs, options.given.outputs, may_choose=True)
        if not self.inputs or not self.outputs:
            raise InvalidInputError("the server names no inputs or no outputs; give them with --signature")

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        return self._protocol.infer(self.inputs, inputs, self.outputs)

    def save(self, folder: Path) -> None:
        """Keep the place; the model stays where it is."""
        shutil.copyfile(self._path, folder / FILE)


class _V2:
    """The Open Inference Protocol, in JSON."""

    signature_name = DEFAULT_SIGNATURE

    def __init__(self, place: RemoteModel) -> None:
        version = f"/versions/{quote(place.version, safe='')}" if place.version else ""
        self._address = f"{place.url.rstrip('/')}/v2/models/{quote(place.model, safe='')}{version}"

    def describe(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Return inputs and outputs."""
        told = _ask("GET", self._address)
        inputs, outputs = ([_v2_spec(entry) for entry in told[kind]] for kind in ("inputs", "outputs"))
        return tuple(inputs), tuple(outputs)

    def infer(self, specs: tuple[TensorSpec, ...], inputs: Arrays, outputs: tuple[TensorSpec, ...]) -> Arrays:
        """Return the answers."""
        tensors = [
            {
                "name": s.name,
                "datatype": s.dtype.value,
                "shape": list(inputs[s.name].shape),
                "data": _plain(inputs[s.name]),
            }
            for s in specs
        ]
        # Triton answers in binary unless it is told not to; others ignore the parameter.
        wanted = [{"name": spec.name, "parameters": {"binary_data": False}} for spec in outputs]
        told = _ask("POST", f"{self._address}/infer", {"inputs": tensors, "outputs": wanted})
        found = {entry["name"]: entry for entry in told["outputs"]}
        with reading("the server's answer cannot be read"):
            return {s.name: _array(found[s.name]["data"], s.dtype).reshape(found[s.name]["shape"]) for s in outputs}


class _TfServing:
    """TF Serving's REST protocol, the columnar form."""

    def __init__(self, place: RemoteModel, signature_name: str) -> None:
        version = f"/versions/{quote(place.version, safe='')}" if place.version else ""
        self._address = f"{place.url.rstrip('/')}/v1/models/{quote(place.model, safe='')}{version}"
        self.signature_name = signature_name

    def describe(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Return inputs and outputs of the signature."""
        signatures = _ask("GET", f"{self._address}/metadata")["metadata"]["signature_def"]["signature_def"]
        if self.signature_name not in signatures:
            raise InvalidInputError(
                f"the server has no signature '{self.signature_name}'; it has: {', '.join(signatures)}"
            )
        told = signatures[self.signature_name]
        inputs, outputs = ([_tf_spec(n, told[kind][n]) for n in sorted(told[kind])] for kind in ("inputs", "outputs"))
        return tuple(inputs), tuple(outputs)

    def infer(self, specs: tuple[TensorSpec, ...], inputs: Arrays, outputs: tuple[TensorSpec, ...]) -> Arrays:
        """Return the answers."""
        columns = {spec.name: inputs[spec.name].tolist() for spec in specs}
        told = _ask("POST", f"{self._address}:predict", {"signature_name": self.signature_name, "inputs": columns})
        found = told["outputs"]
        named = found if isinstance(found, dict) else {outputs[0].name: found}  # one output comes without its name
        with reading("the server's answer cannot be read"):
            return {spec.name: _array(named[spec.name], spec.dtype) for spec in outputs}


def _ask(method: str, address: str, body: dict[str, Any] | None = None) -> Any:
    try:
        answer = httpx.request(method, address, json=body, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise UnavailableError(f"{address} cannot be reached: {error or type(error).__name__}") from error
    except httpx.InvalidURL as error:
        raise InvalidInputError(f"'{address}' is no address: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise InvalidInputError(f"{address} answered {answer.status_code}: {answer.text[:300]}")
    try:
        return json.loads(answer.text)
    except ValueError as error:
        raise InvalidInputError(f"{address} answered something that is not JSON: {answer.text[:100]!r}") from error


def _v2_spec(entry: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(size) if int(size) >= 0 else FREE for size in entry["shape"])
    return TensorSpec(name=str(entry["name"]), dtype=DType(entry["datatype"]), shape=shape)


def _tf_spec(name: str, entry: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(dim["size"]) for dim in entry["tensor_shape"].get("dim", []))
    return TensorSpec(name=name, dtype=_DTYPES[entry["dtype"]], shape=tuple(s if s >= 0 else FREE for s in shape))


def _plain(array: np.ndarray[Any, Any]) -> list[Any]:
    return list(array.ravel().tolist())


def _array(values: Any, dtype: DType) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=dtype.numpy)
