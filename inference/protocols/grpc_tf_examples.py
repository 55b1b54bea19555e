"""TF Serving's Classify and Regress over gRPC: rows as tf.Examples, answers as classes with scores, or numbers.

What can answer them is what answers REST's `:classify` and `:regress`; see `tf_examples.py`. A feature's list must be
of the kind that its input is of: floats for floats, int64 for integers, bytes for BYTES.
Source: tensorflow/serving, apis/input.proto, classification.proto and regression.proto.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

from aiplatform.artifacts import Manifest
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, DType, TensorSpec
from inference.protocols.grpc_messages import parse_message
from inference.protocols.grpc_tensors import array_from_values, array_of_bytes
from inference.protocols.grpc_tf_serving import check_signature, fill_spec
from inference.protocols.messages import Array, Arrays, Form, InferRequest, InferResponse
from inference.protocols.paths import Operation
from inference.protocols.protos.tf_serving_pb2 import (
    ClassificationRequest,
    ClassificationResponse,
    Example,
    Feature,
    RegressionRequest,
    RegressionResponse,
)
from inference.protocols.tensor_rules import check_names
from inference.protocols.tf_examples import answering_output

Request = ClassificationRequest | RegressionRequest
_HALVES = (DType.FP16, DType.BF16)


def parse_examples(body: bytes, operation: Operation) -> Request:
    """Return the message of a Classify or Regress call. Raises: InvalidInputError."""
    if operation is Operation.V1_REGRESS:
        return parse_message(RegressionRequest, body)
    return parse_message(ClassificationRequest, body)


def decode_examples(message: Request, manifest: Manifest, operation: Operation) -> InferRequest:
    """Return the request in a message.

    Raises: InvalidInputError naming the rule and the value, also if the model cannot answer it.
    """
    answering_output(manifest, operation)
    check_signature(message.model_spec, manifest.signature)
    examples = _examples(message)
    known = {spec.name for spec in manifest.signature.inputs}
    for index, features in enumerate(examples):
        if not known <= features.keys():
            check_names(manifest.signature, known & features.keys(), where=f"example {index}")
    inputs: Arrays = {
        spec.name: _column([features[spec.name] for features in examples], spec) for spec in manifest.signature.inputs
    }
    return InferRequest(inputs=inputs, form=Form.ROWS)


def encode_results(response: InferResponse, manifest: Manifest, operation: Operation) -> bytes:
    """Return for each example its classes with their scores, in the order of the classes, or its number."""
    values = response.outputs[answering_output(manifest, operation).name]
    name = manifest.signature.name
    if operation is Operation.V1_REGRESS:
        numbers = RegressionResponse()
        fill_spec(numbers.model_spec, response.model, response.version, name)
        for value in values.reshape(-1).tolist():
            numbers.result.regressions.add(value=value)
        return numbers.SerializeToString()
    scores = ClassificationResponse()
    fill_spec(scores.model_spec, response.model, response.version, name)
    for row in values.tolist():
        labels = manifest.labels if len(manifest.labels) == len(row) else ("",) * len(row)
        classes = scores.result.classifications.add().classes
        for label, score in zip(labels, row, strict=True):
            classes.add(label=label, score=score)
    return scores.SerializeToString()


def _examples(message: Request) -> list[Mapping[str, Feature]]:
    given = message.input
    kind = given.WhichOneof("kind")
    if kind == "example_list_with_context":
        listed = given.example_list_with_context
        examples, context = listed.examples, listed.context
    else:
        examples, context = given.example_list.examples, Example()
    if not examples:
        raise InvalidInputError("the input must have at least one example")
    shared = dict(context.features.feature)
    rows = [dict(example.features.feature) for example in examples]
    for index, row in enumerate(rows):
        if not shared.keys().isdisjoint(row):
            twice = min(shared.keys() & row.keys())
            raise InvalidInputError(f"feature '{twice:.80}' stands in 'context' and in example {index}")
    return [{**shared, **row} for row in rows] if shared else list(rows)


def _column(features: Sequence[Feature], spec: TensorSpec) -> Array:
    row = spec.shape[1:]
    if FREE in row or not spec.shape:
        raise InvalidInputError(
            f"input '{spec.name}' of shape {list(spec.shape)} has no fixed number of values a row; ask Predict"
        )
    field, count = _field(spec), math.prod(row)
    lists = []
    for index, feature in enumerate(features):
        if feature.WhichOneof("kind") != field:
            raise InvalidInputError(
                f"example {index}: feature '{spec.name}' must be a {field}, not {feature.WhichOneof('kind') or 'empty'}"
            )
        values = getattr(feature, field).value
        if len(values) != count:
            raise InvalidInputError(f"example {index}: feature '{spec.name}' needs {count} values, not {len(values)}")
        lists.append(values)
    shape = [len(features), *row]
    flat = list(chain.from_iterable(lists))
    return array_of_bytes(flat, shape) if spec.dtype is DType.BYTES else array_from_values(flat, shape, spec)


def _field(spec: TensorSpec) -> str:
    if spec.dtype is DType.BYTES:
        return "bytes_list"
    return "float_list" if spec.dtype.numpy.kind == "f" or spec.dtype in _HALVES else "int64_list"
