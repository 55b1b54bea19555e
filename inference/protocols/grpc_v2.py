"""The Open Inference Protocol, version 2, over gRPC: raw contents (what Triton's clients send) and typed ones.

Source: kserve/open-inference-protocol, specification/protocol/inference_grpc.md. An answer has the form
of its request, as the specification has it; FP16 and BF16 have no typed form, so they make it raw.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from aiplatform.contracts.predict import SUBJECT_PARAMETER
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.binary_tensors import bytes_from_array
from inference.protocols.classification import classify_output
from inference.protocols.grpc_messages import parse_message
from inference.protocols.grpc_tensors import (
    array_from_raw,
    array_from_values,
    array_of_bytes,
    bytes_of,
    check_sizes,
)
from inference.protocols.messages import Array, Arrays, Form, InferRequest, InferResponse, OutputLayout
from inference.protocols.protos.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from inference.protocols.tensor_rules import check_names, check_output_names, select_outputs
from inference.protocols.urgency import ORDINARY, Urgency, read_urgency

_FIELDS = {
    DType.BOOL: "bool_contents",
    DType.INT8: "int_contents",
    DType.INT16: "int_contents",
    DType.INT32: "int_contents",
    DType.INT64: "int64_contents",
    DType.UINT8: "uint_contents",
    DType.UINT16: "uint_contents",
    DType.UINT32: "uint_contents",
    DType.UINT64: "uint64_contents",
    DType.FP32: "fp32_contents",
    DType.FP64: "fp64_contents",
    DType.BYTES: "bytes_contents",
}
_ID_SIZE = 32
_ID_TAG = b"\x1a\x20"  # id: field 3, 32 bytes
# parameters: field 4, an entry of 51 bytes with the key, and as value an InferParameter with string_param.
_PARAMETER = b"\x22\x33\x0a\x0dprediction_id\x12\x22\x1a\x20"
_RAW_OUTPUT_TAG = b"\x32"  # raw_output_contents: field 6
_SHARED_MEMORY = "shared_memory_region"  # to overlook it would be wrong; other parameters have no effect
_CLASSIFICATION = "classification"


def parse_infer(body: bytes) -> ModelInferRequest:
    """Return the message of a ModelInfer call. Raises: InvalidInputError."""
    return parse_message(ModelInferRequest, body)


def decode_infer(message: ModelInferRequest, signature: Signature) -> InferRequest:
    """Return the request in a message. Other parameters are allowed and have no effect.

    Raises: InvalidInputError naming the rule and the value.
    """
    wanted = tuple(output.name for output in message.outputs)
    check_output_names(signature, wanted)
    for parameters in (
        message.parameters,
        *(item.parameters for item in message.inputs),
        *(item.parameters for item in message.outputs),
    ):
        _check_parameters(parameters)
    return InferRequest(
        inputs=_inputs(message, signature),
        form=Form.TENSORS,
        outputs=wanted,
        id=message.id,
        layout=OutputLayout(classes=_classes(message)),
        urgency=_urgency(message),
        subject=message.parameters[SUBJECT_PARAMETER].string_param if SUBJECT_PARAMETER in message.parameters else "",
    )


def encode_infer(request: InferRequest, response: InferResponse, *, is_raw: bool) -> bytes:
    """Return the outputs asked for, with the request's id or else the prediction's."""
    outputs = select_outputs(response.outputs, request.outputs)
    classes = request.layout.classes
    if classes:
        outputs = {
            name: classify_output(name, array, classes[name], response.labels) if name in classes else array
            for name, array in outputs.items()
        }
    head = _model_fields(response.model, response.version) + _id_fields(request.id, response.prediction_id)
    if is_raw or not all(DType.of(array.dtype) in _FIELDS for array in outputs.values()):
        return head + _raw_outputs(outputs)
    message = ModelInferResponse()
    for name, array in outputs.items():
        dtype = DType.of(array.dtype)
        tensor = message.outputs.add(name=name, datatype=dtype.value, shape=array.shape)
        _fill(tensor.contents, dtype, array)
    return head + message.SerializeToString()


# A raw answer is written field by field: what repeats is kept as bytes, and a message object takes longer to fill
# and to serialize than all the rest of an answer. Messages that are put one behind the other are one message.


@functools.lru_cache(maxsize=1024)
def _model_fields(model: str, version: int) -> bytes:
    return ModelInferResponse(model_name=model, model_version=str(version)).SerializeToString()


def _id_fields(request_id: str, prediction_id: str) -> bytes:
    if request_id or len(prediction_id) != _ID_SIZE:
        message = ModelInferResponse(id=request_id or prediction_id)
        message.parameters["prediction_id"].string_param = prediction_id
        return message.SerializeToString()
    raw = prediction_id.encode()
    return b"".join((_ID_TAG, raw, _PARAMETER, raw))


@functools.lru_cache(maxsize=1024)
def _output_field(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    message = ModelInferResponse()
    message.outputs.add(name=name, datatype=DType.of(dtype).value, shape=shape)
    return message.SerializeToString()


def _raw_outputs(outputs: Arrays) -> bytes:
    described = [_output_field(name, array.dtype, array.shape) for name, array in outputs.items()]
    for array in outputs.values():
        raw = bytes_from_array(array)
        described += (_RAW_OUTPUT_TAG, varint(len(raw)), raw)
    return b"".join(described)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes lengths."""
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _inputs(message: ModelInferRequest, signature: Signature) -> Arrays:
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidInputError(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; each input needs one"
        )
    arrays: Arrays = {}
    for position, tensor in enumerate(message.inputs):
        if tensor.name in arrays:
            raise InvalidInputError(f"input '{tensor.name}' is given twice")
        spec = signature.input(tensor.name)
        if tensor.datatype != spec.dtype.value:
            raise InvalidInputError(
                f"input '{spec.name}' must have datatype {spec.dtype.value}, not '{tensor.datatype:.80}'"
            )
        if not raw:
            arrays[spec.name] = _typed(tensor, spec)
        elif tensor.HasField("contents"):
            raise InvalidInputError(f"input '{spec.name}' has both contents and raw_input_contents")
        else:
            arrays[spec.name] = array_from_raw(raw[position], list(tensor.shape), spec)
    check_names(signature, arrays)
    return arrays


def _typed(tensor: ModelInferRequest.InferInputTensor, spec: TensorSpec) -> Array:
    shape = list(tensor.shape)
    count = check_sizes(shape, spec)
    wanted = _FIELDS.get(spec.dtype)
    if wanted is None:
        raise InvalidInputError(f"input '{spec.name}': {spec.dtype.value} travels in raw_input_contents only")
    for field, _ in tensor.contents.ListFields():
        if field.name != wanted:
            raise InvalidInputError(f"input '{spec.name}': {spec.dtype.value} stands in {wanted}, not in {field.name}")
    values = getattr(tensor.contents, wanted)
    if len(values) != count:
        raise InvalidInputError(f"tensor '{spec.name}': shape {shape} needs {count} values, not {len(values)}")
    if spec.dtype is DType.BYTES:
        return array_of_bytes(values, shape)
    return array_from_values(values, shape, spec)


def _fill(contents: InferTensorContents, dtype: DType, array: Array) -> None:
    values = bytes_of(array) if dtype is DType.BYTES else array.ravel().tolist()
    getattr(contents, _FIELDS[dtype]).extend(values)


def _check_parameters(parameters: Any) -> None:
    if parameters and _SHARED_MEMORY in parameters:
        raise InvalidInputError(f"the parameter '{_SHARED_MEMORY}' is not served: send the tensor in the request")


def _classes(message: ModelInferRequest) -> dict[str, int]:
    classes: dict[str, int] = {}
    for output in message.outputs:
        if output.parameters and _CLASSIFICATION in output.parameters:
            count = output.parameters[_CLASSIFICATION].int64_param
            if count < 0:
                raise InvalidInputError(
                    f"output '{output.name}': classification is how many classes to give, not {count}"
                )
            if count:
                classes[output.name] = count
    return classes


def _urgency(message: ModelInferRequest) -> Urgency:
    parameters = message.parameters
    if not parameters:
        return ORDINARY
    return read_urgency(lambda name: _number(parameters[name], name) if name in parameters else None)


def _number(parameter: InferParameter, name: str) -> int:
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in ("int64_param", "uint64_param"):
        raise InvalidInputError(f"the parameter '{name}' must be an int64_param or a uint64_param, not {kind}")
    return int(getattr(parameter, kind))
