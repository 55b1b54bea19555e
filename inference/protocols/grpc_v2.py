"""The Open Inference Protocol, version 2, over gRPC: raw contents (what Triton's clients send) and typed ones.

Source: kserve/open-inference-protocol, specification/protocol/inference_grpc.md. An answer has the form
of its request, as the specification has it; FP16 and BF16 have no typed form, so they make it raw.
"""

from __future__ import annotations

from typing import Any

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
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)
from inference.protocols.tensor_rules import check_names, check_output_names, select_outputs

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
        subject=message.parameters[SUBJECT_PARAMETER].string_param if SUBJECT_PARAMETER in message.parameters else "",
    )


def encode_infer(request: InferRequest, response: InferResponse, *, is_raw: bool) -> bytes:
    """Return the outputs asked for, with the request's id or else the prediction's."""
    message = ModelInferResponse(
        model_name=response.model,
        model_version=str(response.version),
        id=request.id or response.prediction_id,
    )
    message.parameters["prediction_id"].string_param = response.prediction_id
    outputs = select_outputs(response.outputs, request.outputs)
    classes = request.layout.classes
    if classes:
        outputs = {
            name: classify_output(name, array, classes[name], response.labels) if name in classes else array
            for name, array in outputs.items()
        }
    types = {name: DType.of(array.dtype) for name, array in outputs.items()}
    is_raw = is_raw or not all(dtype in _FIELDS for dtype in types.values())
    for name, array in outputs.items():
        tensor = message.outputs.add(name=name, datatype=types[name].value, shape=array.shape)
        if is_raw:
            message.raw_output_contents.append(bytes_from_array(array))
        else:
            _fill(tensor.contents, types[name], array)
    return message.SerializeToString()


def encode_model(model: str, versions: list[int], platform: str, signature: Signature) -> bytes:
    """Return a model's inputs and outputs."""
    message = ModelMetadataResponse(name=model, versions=[str(version) for version in versions], platform=platform)
    for specs, tensors in ((signature.inputs, message.inputs), (signature.outputs, message.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, datatype=spec.dtype.value, shape=spec.shape)
    return message.SerializeToString()


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
