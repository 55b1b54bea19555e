"""TF Serving's two ways of writing inputs: one object a row, or one tensor a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, Signature
from inference.protocols.json_arrays import array_from_nested, has_shape
from inference.protocols.json_body import json_kind
from inference.protocols.messages import Arrays
from inference.protocols.number_text import MIN_BYTES, NumberText, joined, read_only_value
from inference.protocols.tensor_rules import check_names

_LONG_ROW = 16


def arrays_from_instances(instances: Any, signature: Signature) -> Arrays:
    """Return the inputs of the row form: each instance an object of named values, or the bare
    value if the model has one input.

    Raises: InvalidInputError naming the rule and the value.
    """
    if type(instances) is NumberText and len(signature.inputs) == 1:
        return {signature.inputs[0].name: array_from_nested(instances, signature.inputs[0])}
    if type(instances) is NumberText:
        instances = instances.value()
    if not isinstance(instances, list) or not instances:
        kind = "an empty array" if instances == [] else json_kind(instances)
        raise InvalidInputError(f"'instances' must be an array of at least one row, not {kind}")
    if not _is_named(instances[0]):
        if len(signature.inputs) > 1:
            names = ", ".join(spec.name for spec in signature.inputs)
            raise InvalidInputError(f"the model has several inputs: each instance must be an object with {names}")
        return {signature.inputs[0].name: array_from_nested(instances, signature.inputs[0])}
    columns: dict[str, list[Any]] = {spec.name: [] for spec in signature.inputs}
    for index, instance in enumerate(instances):
        if not _is_named(instance):
            raise InvalidInputError(f"instance {index} must be an object as instance 0 is, not {json_kind(instance)}")
        if instance.keys() != columns.keys():
            check_names(signature, instance, where=f"instance {index}")
        for name, column in columns.items():
            column.append(instance[name])
    return {spec.name: array_from_nested(joined(columns[spec.name]), spec) for spec in signature.inputs}


def read_usual_instances(body: bytes, signature: Signature) -> Arrays | None:
    """Return the inputs of a body that is `{"instances": [...]}` and no more, of a model with one input of numbers.

    None for any other, and for one that is wrong: these are read, or refused, by the ordinary way.
    """
    if len(signature.inputs) != 1 or len(body) < MIN_BYTES:
        return None
    spec = signature.inputs[0]
    if len(spec.shape) < 2:
        return None
    array = read_only_value(body, "instances", len(spec.shape), spec.dtype)
    return None if array is None or not has_shape(array.shape, spec) else {spec.name: array}


def arrays_from_columns(inputs: Any, signature: Signature) -> Arrays:
    """Return the inputs of the columnar form: an object of named tensors, or the bare tensor if
    the model has one input.

    Raises: InvalidInputError naming the rule and the value.
    """
    if _is_named(inputs):
        check_names(signature, inputs)
        return {spec.name: array_from_nested(inputs[spec.name], spec) for spec in signature.inputs}
    if len(signature.inputs) > 1:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise InvalidInputError(f"the model has several inputs: 'inputs' must be an object with {names}")
    return {signature.inputs[0].name: array_from_nested(inputs, signature.inputs[0])}


def long_array_keys(signature: Signature) -> Iterator[str]:
    """Give the keys of a `:predict` body below which long arrays of numbers may stand."""
    yield from ("instances", "inputs")
    for spec in signature.inputs:
        if len(spec.shape) > 2 or spec.shape[1:] > (_LONG_ROW,) or FREE in spec.shape[1:]:
            yield spec.name


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}
