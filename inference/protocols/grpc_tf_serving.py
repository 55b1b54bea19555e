"""TF Serving over gRPC: Predict, GetModelMetadata and GetModelStatus.

Sources: tensorflow/serving, apis/*.proto; tensorflow, core/framework/tensor.proto. Answers have their values
in the typed fields, as TF Serving's have, since its users read `float_val` directly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.grpc_messages import parse_message
from inference.protocols.grpc_tensors import (
    array_from_raw,
    array_from_values,
    array_of_bytes,
    bytes_of,
    check_sizes,
)
from inference.protocols.messages import Array, Arrays, Form, InferRequest, InferResponse
from inference.protocols.protos.tf_serving_pb2 import (
    DataType,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDef,
    SignatureDefMap,
    TensorProto,
    TensorShapeProto,
)
from inference.protocols.tensor_rules import check_names, check_output_names, select_outputs

METHOD_NAME = "tensorflow/serving/predict"
SIGNATURE_FIELD = "signature_def"
_SIGNATURE_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
_NAMES_ANY = ("", "serving_default")  # what clients send when they mean the only signature
_UNKNOWN = 2  # gRPC's number
_HALVES = ("FP16", "BF16")
_FIELDS = {
    "BOOL": "bool_val",
    "INT8": "int_val",
    "INT16": "int_val",
    "INT32": "int_val",
    "INT64": "int64_val",
    "UINT8": "int_val",
    "UINT16": "int_val",
    "UINT32": "uint32_val",
    "UINT64": "uint64_val",
    "FP16": "half_val",
    "BF16": "half_val",
    "FP32": "float_val",
    "FP64": "double_val",
    "BYTES": "string_val",
}


def parse_predict(body: bytes) -> PredictRequest:
    """Return the message of a Predict call. Raises: InvalidInputError."""
    return parse_message(PredictRequest, body)


def parse_metadata(body: bytes) -> ModelSpec:
    """Return which model a GetModelMetadata call is about.

    Raises: InvalidInputError, also unless it asks for the signature and nothing else.
    """
    message = parse_message(GetModelMetadataRequest, body)
    if list(message.metadata_field) != [SIGNATURE_FIELD]:
        raise InvalidInputError(
            f"metadata_field must be ['{SIGNATURE_FIELD}'], not {list(message.metadata_field)!r:.80}"
        )
    return message.model_spec


def parse_status(body: bytes) -> ModelSpec:
    """Return which model a GetModelStatus call is about. Raises: InvalidInputError."""
    return parse_message(GetModelStatusRequest, body).model_spec


def read_version(spec: ModelSpec) -> tuple[int | None, str | None]:
    """Return version and label of a model spec, at most one of them; 0 is how some clients write none.

    Raises: InvalidInputError for a negative version.
    """
    choice = spec.WhichOneof("version_choice")
    if choice == "version_label":
        return None, spec.version_label
    if choice is None:
        return None, None
    if spec.version.value < 0:
        raise InvalidInputError(f"a version is a whole number, not {spec.version.value}")
    return spec.version.value or None, None


def decode_predict(message: PredictRequest, signature: Signature, *, max_bytes: int) -> InferRequest:
    """Return the request in a message; an input that repeats its last value may fill `max_bytes`.

    Raises: InvalidInputError naming the rule and the value.
    """
    check_signature(message.model_spec, signature)
    wanted = tuple(message.output_filter)
    check_output_names(signature, wanted)
    check_names(signature, message.inputs)
    inputs: Arrays = {spec.name: _decode(message.inputs[spec.name], spec, max_bytes) for spec in signature.inputs}
    return InferRequest(inputs=inputs, form=Form.TENSORS, outputs=wanted)


def check_signature(spec: ModelSpec, signature: Signature) -> None:
    """Raise InvalidInputError unless a model spec names the only signature, or none."""
    if spec.signature_name not in (*_NAMES_ANY, signature.name):
        raise InvalidInputError(f"signature_name must be '{signature.name}', not {spec.signature_name!r:.80}")


def encode_predict(request: InferRequest, response: InferResponse, signature_name: str) -> bytes:
    """Return the outputs asked for, with model, version and signature."""
    message = PredictResponse()
    fill_spec(message.model_spec, response.model, response.version, signature_name)
    for name, array in select_outputs(response.outputs, request.outputs).items():
        _encode(message.outputs[name], array)
    return message.SerializeToString()


def encode_metadata(model: str, version: int, signature: Signature) -> bytes:
    """Return the signature, packed as TF Serving packs it."""
    definitions = SignatureDefMap()
    definition: SignatureDef = definitions.signature_def[signature.name]
    definition.method_name = METHOD_NAME
    for specs, infos in ((signature.inputs, definition.inputs), (signature.outputs, definition.outputs)):
        for spec in specs:
            info = infos[spec.name]
            info.name = f"{signature.name}_{spec.name}:0"
            info.dtype = _number(spec.dtype)
            _fill_shape(info.tensor_shape, spec.shape)
    message = GetModelMetadataResponse()
    fill_spec(message.model_spec, model, version, "")
    packed = message.metadata[SIGNATURE_FIELD]
    packed.type_url, packed.value = _SIGNATURE_URL, definitions.SerializeToString()
    return message.SerializeToString()


def encode_status(states: list[tuple[int, str, str]]) -> bytes:
    """Return the status of versions, each (version, 'AVAILABLE' | 'LOADING' | ..., message)."""
    message = GetModelStatusResponse()
    for version, state, text in states:
        item = message.model_version_status.add(version=version, state=ModelVersionStatus.State.Value(state))
        item.status.error_code, item.status.error_message = (_UNKNOWN if text else 0), text
    return message.SerializeToString()


def _decode(tensor: TensorProto, spec: TensorSpec, max_bytes: int) -> Array:
    if tensor.dtype != _number(spec.dtype):
        known = DataType.values()
        given = DataType.Name(tensor.dtype) if tensor.dtype in known else f"number {tensor.dtype}"
        raise InvalidInputError(f"input '{spec.name}' must have dtype {spec.dtype.tensorflow_name}, not {given}")
    if tensor.tensor_shape.unknown_rank:
        raise InvalidInputError(f"input '{spec.name}' must say its shape")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    count = check_sizes(shape, spec)
    field = _FIELDS[spec.dtype.value]
    _check_fields(tensor, spec, field)
    if not tensor.tensor_content:
        return _from_values(getattr(tensor, field), count, shape, spec, max_bytes)
    if spec.dtype is DType.BYTES:
        raise InvalidInputError(f"input '{spec.name}': DT_STRING stands in string_val, not in tensor_content")
    return array_from_raw(tensor.tensor_content, shape, spec)


def _number(dtype: DType) -> DataType:
    return cast(DataType, DataType.Value(dtype.tensorflow_name))


def _check_fields(tensor: TensorProto, spec: TensorSpec, field: str) -> None:
    given = [item.name for item, _ in tensor.ListFields() if item.name.endswith("_val")]
    if given and given != [field]:
        raise InvalidInputError(f"input '{spec.name}': {spec.dtype.tensorflow_name} stands in {field}, not in {given}")
    if given and tensor.tensor_content:
        raise InvalidInputError(f"input '{spec.name}' has both tensor_content and {field}")


def _from_values(values: Iterable[object], count: int, shape: list[int], spec: TensorSpec, max_bytes: int) -> Array:
    given = list(values) if spec.dtype is DType.BYTES else np.array(values)
    have = len(given)
    if have > count:
        raise InvalidInputError(f"tensor '{spec.name}': shape {shape} has {count} elements; {have} are given")
    if have == 0:
        raise InvalidInputError(f"tensor '{spec.name}' has a shape and no values")
    if have == count:
        return _as_array(given, shape, spec)
    if count * spec.dtype.numpy.itemsize > max_bytes:
        raise InvalidInputError(
            f"tensor '{spec.name}': {have} values repeated to shape {shape} would fill more than "
            f"{max_bytes} bytes (MAX_BODY_BYTES)"
        )
    flat = _as_array(given, [have], spec)
    return np.concatenate([flat, np.repeat(flat[-1:], count - have)]).reshape(shape)


def _as_array(given: object, shape: list[int], spec: TensorSpec) -> Array:
    if isinstance(given, list):
        return array_of_bytes(given, shape)
    if spec.dtype.value not in _HALVES:
        return array_from_values(given, shape, spec)
    bits = np.asarray(given)
    if bits.min() < 0 or bits.max() > 0xFFFF:
        raise InvalidInputError(f"tensor '{spec.name}': half_val has 16 bits a value, 0 to 65535")
    return bits.astype(np.uint16).view(spec.dtype.numpy).reshape(shape)


def _encode(tensor: TensorProto, array: Array) -> None:
    dtype = DType.of(array.dtype)
    tensor.dtype = _number(dtype)
    _fill_shape(tensor.tensor_shape, array.shape)
    field = getattr(tensor, _FIELDS[dtype.value])
    if dtype is DType.BYTES:
        field.extend(bytes_of(array))
    elif dtype.value in _HALVES:
        field.extend(np.ascontiguousarray(array).view(np.uint16).ravel().tolist())
    else:
        field.extend(array.ravel().tolist())


def _fill_shape(message: TensorShapeProto, shape: Iterable[int]) -> None:
    for size in shape:
        message.dim.add(size=size)


def fill_spec(message: ModelSpec, model: str, version: int, signature_name: str) -> None:
    """Say which version of which model has answered."""
    message.name = model
    message.version.value = version
    message.signature_name = signature_name
