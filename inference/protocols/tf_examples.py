"""TF Serving's `:classify` and `:regress`: rows as Examples (features by name), answers as `results`.

In TF Serving the graph parses `tf.Example`s and only signatures made for it answer. Here any
classification or regression artifact answers whose inputs have a fixed number of values a row and
whose output is one score a class, or one number: a feature is an input, its list the row's values.
Source: tensorflow/serving, g3doc/api_rest.md and util/json_tensor.cc.
"""

from __future__ import annotations

import math
from typing import Any

from aiplatform.artifacts import Manifest
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, DType, Signature, TensorSpec
from inference.protocols.json_arrays import array_from_flat
from inference.protocols.json_body import json_kind, parse_object
from inference.protocols.messages import Array, Arrays, Encoded, Form, InferRequest
from inference.protocols.paths import Operation
from inference.protocols.tensor_rules import check_names
from inference.protocols.tf_serving import check_signature_name, dump_with_tokens

_FLOATS = (DType.FP16, DType.FP32, DType.FP64)
_SCORES = ("probabilities", "scores")
_METHODS = {Operation.V1_CLASSIFY: "tensorflow/serving/classify", Operation.V1_REGRESS: "tensorflow/serving/regress"}


def decode_examples(body: bytes, manifest: Manifest, operation: Operation) -> InferRequest:
    """Return the request in a `:classify` or `:regress` body.

    Raises: InvalidInputError naming the rule and the value, also if the model cannot answer it.
    """
    answering_output(manifest, operation)
    message = parse_object(body, takes_tokens=True)
    check_signature_name(message.get("signature_name", ""), manifest.signature, _METHODS[operation])
    examples = _merged(message.get("examples"), message.get("context", {}))
    return InferRequest(inputs=_arrays(examples, manifest.signature), form=Form.ROWS)


def encode_results(outputs: Arrays, manifest: Manifest, operation: Operation) -> Encoded:
    """Return `results`: for each example its [label, score] pairs in the order of the classes, or its number."""
    values = outputs[answering_output(manifest, operation).name]
    if operation is Operation.V1_REGRESS:
        return Encoded(dump_with_tokens({"results": values.reshape(-1)}))
    return Encoded(dump_with_tokens({"results": [_pairs(row, manifest.labels) for row in values]}))


def answering_output(manifest: Manifest, operation: Operation) -> TensorSpec:
    """Return the output that holds the scores or the numbers.

    Raises: InvalidInputError if the model cannot answer the operation.
    """
    is_classifier = manifest.task.endswith("classification")
    if is_classifier != (operation is Operation.V1_CLASSIFY):
        ways = "':classify' and ':predict'" if is_classifier else "':regress' and ':predict'"
        raise InvalidInputError(f"model '{manifest.name}' is for {manifest.task.replace('_', ' ')}; it answers {ways}")
    fitting = [spec for spec in manifest.signature.outputs if _fits(spec, manifest, is_classifier)]
    named = [spec for spec in fitting if spec.name in _SCORES]
    chosen = fitting if len(fitting) == 1 else named
    if len(chosen) != 1:
        wanted = "one score a class, of shape [-1, classes]" if is_classifier else "one number a row"
        raise InvalidInputError(f"model '{manifest.name}' has no single output with {wanted}; ask ':predict'")
    return chosen[0]


def _fits(spec: TensorSpec, manifest: Manifest, is_classifier: bool) -> bool:
    if spec.dtype not in _FLOATS:
        return False
    if not is_classifier:
        return spec.shape[1:] in ((), (1,)) and len(spec.shape) > 0
    return len(spec.shape) == 2 and (not manifest.labels or spec.shape[1] in (FREE, len(manifest.labels)))


def _merged(examples: Any, context: Any) -> list[dict[str, Any]]:
    if not isinstance(examples, list) or not examples:
        kind = "an empty array" if examples == [] else json_kind(examples)
        raise InvalidInputError(f"'examples' must be an array of at least one object, not {kind}")
    if not isinstance(context, dict):
        raise InvalidInputError(f"'context' must be an object of features, not {json_kind(context)}")
    for index, example in enumerate(examples):
        if not isinstance(example, dict):
            raise InvalidInputError(f"example {index} must be an object of features, not {json_kind(example)}")
        if not context.keys().isdisjoint(example):
            twice = min(context.keys() & example.keys())
            raise InvalidInputError(f"feature '{twice:.80}' stands in 'context' and in example {index}")
    return [{**context, **example} for example in examples] if context else examples


def _arrays(examples: list[dict[str, Any]], signature: Signature) -> Arrays:
    known = {spec.name for spec in signature.inputs}
    for index, example in enumerate(examples):
        if not known <= example.keys():  # what the model does not know is passed over, as in TF Serving
            check_names(signature, known & example.keys(), where=f"example {index}")
    return {spec.name: _column([example[spec.name] for example in examples], spec) for spec in signature.inputs}


def _column(features: list[Any], spec: TensorSpec) -> Array:
    row = spec.shape[1:]
    if FREE in row or not spec.shape:
        raise InvalidInputError(
            f"input '{spec.name}' of shape {list(spec.shape)} has no fixed number of values a row; ask ':predict'"
        )
    wanted = math.prod(row)
    values: list[Any] = []
    for index, feature in enumerate(features):
        listed = feature if isinstance(feature, list) else [feature]
        if len(listed) != wanted:
            raise InvalidInputError(f"example {index}: feature '{spec.name}' needs {wanted} values, not {len(listed)}")
        nested = next((value for value in listed if isinstance(value, list)), None)
        if nested is not None:
            raise InvalidInputError(f"example {index}: feature '{spec.name}' must be a flat list of values")
        values += listed
    return array_from_flat(values, [len(features), *row], spec)


def _pairs(scores: Array, labels: tuple[str, ...]) -> list[list[Any]]:
    names = labels if len(labels) == len(scores) else ("",) * len(scores)  # TF Serving's label for "none known"
    return [[name, score] for name, score in zip(names, scores, strict=True)]
