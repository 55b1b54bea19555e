"""The JSON part of a V2 infer request: which inputs come how, and which outputs are wanted how.

A head whose inputs are all binary says nothing that changes from one request to the next, so what
was read from it is kept: the hot path then only looks its bytes up. Of a request with one long array of numbers
the same holds for what stands around the array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from aiplatform.contracts.predict import SUBJECT_PARAMETER
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.binary_tensors import check_size
from inference.protocols.json_arrays import check_shape
from inference.protocols.json_body import json_kind
from inference.protocols.messages import AS_JSON, OutputLayout
from inference.protocols.number_text import NumberText, first_long_array, parse_lifting
from inference.protocols.tensor_rules import check_names, check_output_names
from inference.protocols.urgency import ORDINARY, Urgency, read_urgency

ONLY_BINARY = frozenset({DType.FP16, DType.BF16})  # JSON has no form for them
MAX_KEPT = 512
MAX_SUBJECT = 1000
MAX_KEPT_BYTES = 2048
MAX_EMPTY_SIDES = 2**40  # numpy cannot make an empty array whose other sides are longer


@dataclass(
    slots=True, kw_only=True
)  # not frozen: made for each request. Those that are kept are shared: never change one
class InputHead:
    """One input: JSON `data`, or `size_bytes` behind the head if that is not None."""

    spec: TensorSpec
    shape: list[int]
    data: Any = None
    size_bytes: int | None = None


@dataclass(slots=True, kw_only=True)
class InferHead:
    """A request without its binary data."""

    signature: Signature
    id: str
    inputs: tuple[InputHead, ...]
    outputs: tuple[str, ...]
    layout: OutputLayout
    size_bytes: int  # of all binary inputs
    urgency: Urgency = ORDINARY
    subject: str = ""


_kept: dict[tuple[int, bytes], InferHead] = {}
_kept_around: dict[tuple[int, bytes, bytes], InferHead] = {}


def read_head(raw: bytes, signature: Signature) -> InferHead:
    """Return what the JSON part of a request says.

    Raises: InvalidInputError naming the rule and the value.
    """
    if len(raw) > MAX_KEPT_BYTES:
        return _read_around(raw, signature)
    head = _kept.get((id(signature), raw))
    if head is not None and head.signature is signature:
        return head
    head = _parse_head(parse_lifting(raw, ("data",)), signature)
    if all(item.size_bytes is not None for item in head.inputs):
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        _kept[id(signature), raw] = head
    return head


def _read_around(raw: bytes, signature: Signature) -> InferHead:
    """Return the same of a long head, whose numbers may be all that is new in it."""
    span = first_long_array(raw, "data", MAX_KEPT_BYTES)
    if span is None or len(raw) - span[1] > MAX_KEPT_BYTES:
        return _parse_head(parse_lifting(raw, ("data",)), signature)
    start, end = span
    key = (id(signature), raw[:start], raw[end:])
    head = _kept_around.get(key)
    if head is not None and head.signature is signature:
        (item,) = head.inputs
        data = NumberText(raw[start:end], raw, takes_tokens=False)
        return InferHead(
            signature=signature, id=head.id, inputs=(InputHead(spec=item.spec, shape=item.shape, data=data),),
            outputs=head.outputs, layout=head.layout, size_bytes=0,
        )  # fmt: skip
    head = _parse_head(parse_lifting(raw, ("data",)), signature)
    if len(head.inputs) == 1 and type(head.inputs[0].data) is NumberText:
        if len(_kept_around) >= MAX_KEPT:
            _kept_around.clear()
        _kept_around[key] = InferHead(
            signature=signature, id=head.id, inputs=(InputHead(spec=head.inputs[0].spec, shape=head.inputs[0].shape),),
            outputs=head.outputs, layout=head.layout, size_bytes=0,
        )  # fmt: skip
    return head


def layout_of(signature: Signature, *, is_binary: bool) -> OutputLayout:
    """Return the layout of a request that names no output.

    Raises: InvalidInputError if an output has no JSON form and JSON is asked.
    """
    if is_binary:
        return OutputLayout(binary=frozenset(spec.name for spec in signature.outputs))
    _check_json_forms(signature, AS_JSON, ())
    return AS_JSON


def _parse_head(message: dict[str, Any], signature: Signature) -> InferHead:
    request_id = message.get("id", "")
    if not isinstance(request_id, str):
        raise InvalidInputError(f"'id' must be a string, not {json_kind(request_id)}")
    parameters = _parameters(message, "the request")
    is_binary = _flag(parameters, "binary_data_output", default=False)
    wanted = _objects(message.get("outputs"), "outputs")
    outputs = tuple(_text(item, "name", "outputs") for item in wanted)
    check_output_names(signature, outputs)
    inputs = _inputs(message.get("inputs"), signature)
    return InferHead(
        signature=signature,
        id=request_id,
        inputs=inputs,
        outputs=outputs,
        layout=_layout(wanted, signature, is_binary) if wanted else layout_of(signature, is_binary=is_binary),
        size_bytes=sum(item.size_bytes or 0 for item in inputs),
        urgency=read_urgency(lambda name: _whole_number(parameters, name)),
        subject=_subject(parameters.get(SUBJECT_PARAMETER)),
    )


def _subject(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_SUBJECT:
        raise InvalidInputError(f"'{SUBJECT_PARAMETER}' must be a string of up to {MAX_SUBJECT} characters")
    return value


def _whole_number(parameters: dict[str, Any], name: str) -> int | None:
    value = parameters.get(name)
    if value is not None and type(value) is not int:
        raise InvalidInputError(f"the parameter '{name}' must be a whole number, not {value!r:.80}")
    return value


def _inputs(items: Any, signature: Signature) -> tuple[InputHead, ...]:
    heads: dict[str, InputHead] = {}
    for item in _objects(items, "inputs"):
        name = _text(item, "name", "inputs")
        if name in heads:
            raise InvalidInputError(f"input '{name:.80}' is given twice")
        heads[name] = _input(item, signature.input(name))
    check_names(signature, heads)
    return tuple(heads.values())


def _input(item: dict[str, Any], spec: TensorSpec) -> InputHead:
    datatype = _text(item, "datatype", "inputs")
    if datatype != spec.dtype.value:
        raise InvalidInputError(f"input '{spec.name}' must have datatype {spec.dtype.value}, not {datatype:.80}")
    shape = _shape(item.get("shape"), spec)
    check_shape(shape, spec)
    size = _parameters(item, f"input '{spec.name}'").get("binary_data_size")
    if size is None:
        return InputHead(spec=spec, shape=shape, data=_json_data(item, spec))
    if type(size) is not int or size < 0:
        raise InvalidInputError(f"input '{spec.name}': binary_data_size must be a whole number, not {size!r:.80}")
    if "data" in item:
        raise InvalidInputError(f"input '{spec.name}' has both 'data' and binary_data_size")
    check_size(size, shape, spec)
    return InputHead(spec=spec, shape=shape, size_bytes=size)


def _json_data(item: dict[str, Any], spec: TensorSpec) -> Any:
    if "data" not in item:
        raise InvalidInputError(f"input '{spec.name}' has no 'data', and no binary_data_size in its parameters")
    if spec.dtype in ONLY_BINARY:
        raise InvalidInputError(f"input '{spec.name}' is {spec.dtype.value}, which travels only as binary data")
    return item["data"]


def _shape(value: Any, spec: TensorSpec) -> list[int]:
    if not isinstance(value, list) or any(type(size) is not int or size < 0 for size in value):
        raise InvalidInputError(f"input '{spec.name}': 'shape' must be an array of whole numbers, not {value!r:.80}")
    if 0 in value and math.prod(size or 1 for size in value) > MAX_EMPTY_SIDES:
        raise InvalidInputError(f"input '{spec.name}': an empty tensor of shape {value} cannot be made")
    return value


def _layout(items: list[dict[str, Any]], signature: Signature, is_binary: bool) -> OutputLayout:
    binary, classes = set(), {}
    for item in items:
        name, where = item["name"], f"output '{item['name']}'"
        parameters = _parameters(item, where)
        if name in binary or name in classes:
            raise InvalidInputError(f"{where} is asked for twice")
        if _flag(parameters, "binary_data", default=is_binary):
            binary.add(name)
        if count := _class_count(parameters, where):
            classes[name] = count
    layout = OutputLayout(binary=frozenset(binary), classes=classes)
    _check_json_forms(signature, layout, [item["name"] for item in items])
    return layout


def _class_count(parameters: dict[str, Any], where: str) -> int:
    count = parameters.get("classification", 0)
    if type(count) is not int or count < 0:
        raise InvalidInputError(f"{where}: classification is how many classes to give, not {count!r:.80}")
    return count


def _check_json_forms(signature: Signature, layout: OutputLayout, wanted: list[str] | tuple[()]) -> None:
    for spec in signature.outputs:
        is_json = spec.name not in layout.binary and spec.name not in layout.classes
        if spec.dtype in ONLY_BINARY and is_json and (not wanted or spec.name in wanted):
            raise InvalidInputError(
                f"output '{spec.name}' is {spec.dtype.value}, which travels only as binary data: "
                "ask with the parameter binary_data"
            )


def _parameters(item: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidInputError(f"{where}: 'parameters' must be an object, not {json_kind(parameters)}")
    if "shared_memory_region" in parameters:
        raise InvalidInputError(f"{where}: shared memory is not offered here; send the data with the request")
    return parameters


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInputError(f"'{name}' must be true or false, not {value!r:.80}")
    return value


def _objects(items: Any, field: str) -> list[dict[str, Any]]:
    if items is None and field == "outputs":
        return []
    if not isinstance(items, list) or any(not isinstance(item, dict) for item in items):
        raise InvalidInputError(f"'{field}' must be an array of objects, each a tensor with its name")
    return items


def _text(item: dict[str, Any], key: str, field: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise InvalidInputError(f"each of '{field}' must have a string '{key}', not {json_kind(value)}")
    return value
