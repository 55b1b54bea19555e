"""JSON values to arrays and back, strictly: nothing is guessed, cut off or rounded.

Nested lists are flattened level by level, so that raggedness and wrong lengths are found before
numpy sees anything; what is allocated is at most some times the size of the request's body.
Where a value is still text (`NumberText`), the quick reader of `number_text` is asked first.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, DType, TensorSpec
from inference.protocols.json_body import dump, json_kind
from inference.protocols.messages import Array, Arrays
from inference.protocols.number_text import NumberText, is_nested, read_numbers

_NUMBERS = frozenset({int, float})
_FLOATS = _NUMBERS | {type(None)}
_BYTES = frozenset({str, dict})
_MAX_EXACT = 2.0**53  # from here on a float stands for several whole numbers
_FLOAT_TYPES = (DType.FP16, DType.BF16, DType.FP32, DType.FP64)


def array_from_nested(value: Any, spec: TensorSpec) -> Array:
    """Return the array that nested lists stand for.

    A column of shape (n, 1) may be written as n plain values.
    Raises: InvalidInputError naming the tensor, the rule and the value.
    """
    if type(value) is NumberText:
        array = _nested_text(value, spec)
        if array is not None:
            return array
        value = value.value()
    rank = len(spec.shape)
    is_plain_column = rank == 2 and spec.shape[1] == 1 and isinstance(value, list) and not _has_lists(value)
    shape: list[int] = []
    level = [value]
    for axis in range(1 if is_plain_column else rank):
        length = _common_length(level, axis, spec)
        shape.append(length)
        level = list(chain.from_iterable(level))
    if is_plain_column:
        shape.append(1)
    return _array(level, spec).reshape(shape)


def array_from_flat(values: Any, shape: list[int], spec: TensorSpec) -> Array:
    """Return the array of the given shape from its elements in row-major order, flat or nested.

    Raises: InvalidInputError as above, also if shape and number of elements do not agree.
    """
    check_shape(shape, spec)
    if type(values) is NumberText:
        read = _flat_text(values, shape, spec)
        if read is not None:
            return read
        values = values.value()
    if not isinstance(values, list):
        raise InvalidInputError(f"tensor '{spec.name}': data must be an array, not {json_kind(values)}")
    if _has_lists(values):
        array = array_from_nested(values, spec)
        if list(array.shape) != shape:
            raise InvalidInputError(f"tensor '{spec.name}': data has shape {list(array.shape)}, not {shape}")
        return array
    wanted = math.prod(shape)
    if len(values) != wanted:
        raise InvalidInputError(f"tensor '{spec.name}': shape {shape} needs {wanted} values, not {len(values)}")
    return _array(values, spec).reshape(shape)


def check_shape(shape: list[int], spec: TensorSpec) -> None:
    """Raise InvalidInputError unless a shape fits; called before anything of that size is made."""
    if not has_shape(shape, spec):
        raise InvalidInputError(f"tensor '{spec.name}' must have shape {list(spec.shape)} (-1: any), not {shape!s:.80}")


def json_value(name: str, array: Array) -> Any:
    """Return what `dump` writes for an array; BYTES become strings, else {"b64": ...}.

    A name that ends in `_bytes` asks for base64 always, as in TF Serving.
    """
    if array.dtype.kind == "S":
        array = array.astype(object)
    if array.dtype.kind != "O":
        return array
    texts = [_json_bytes(value, is_binary=name.endswith("_bytes")) for value in array.ravel().tolist()]
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out.reshape(array.shape).tolist()


def with_tokens(value: Any) -> Any:
    """Return what `dump` writes for a value of `json_value`, with NaN and infinities as bare tokens."""
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "fV":  # V: bfloat16
        return value
    array = np.ascontiguousarray(value)
    odd = array[~np.isfinite(array)]
    pieces = dump(array if value.ndim else array[0]).split(b"null")  # nothing else is written as null
    tokens = [b"NaN" if number != number else b"Infinity" if number > 0 else b"-Infinity" for number in odd.tolist()]
    return orjson.Fragment(b"".join(chain.from_iterable(zip(pieces, [*tokens, b""], strict=True))))


def rows_from_arrays(outputs: Arrays) -> list[Mapping[str, Any]]:
    """Return one mapping of plain values a row, by output name.

    Raises: InvalidInputError if an output has no rows.
    """
    plain = {name: json_value(name, rows_of(name, array)) for name, array in outputs.items()}
    lists = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def rows_of(name: str, array: Array) -> Array:
    """Return the array if it has rows; InvalidInputError if it is a single value."""
    if array.ndim == 0:
        raise InvalidInputError(f"output '{name}' has no rows; ask with 'inputs' instead of 'instances'")
    return array


def has_shape(shape: Sequence[int], spec: TensorSpec) -> bool:
    """Say whether a shape is one that the tensor may have."""
    return len(shape) == len(spec.shape) and all(
        want in (FREE, have) for want, have in zip(spec.shape, shape, strict=True)
    )


def _nested_text(value: NumberText, spec: TensorSpec) -> Array | None:
    rank = len(spec.shape)
    is_plain_column = rank == 2 and spec.shape[1] == 1 and not is_nested(value.text)
    array = read_numbers(value.text, 1 if is_plain_column else rank, spec.dtype)
    if array is not None and is_plain_column:
        array = array.reshape(-1, 1)
    return array if array is not None and has_shape(array.shape, spec) else None


def _flat_text(values: NumberText, shape: list[int], spec: TensorSpec) -> Array | None:
    nested = is_nested(values.text)
    array = read_numbers(values.text, len(shape) if nested else 1, spec.dtype)
    if array is None or (list(array.shape) != shape if nested else array.size != math.prod(shape)):
        return None
    return array.reshape(shape)


def _has_lists(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], list)


def _common_length(level: list[Any], axis: int, spec: TensorSpec) -> int:
    strangers = set(map(type, level)) - {list}
    if strangers:
        found = next(item for item in level if type(item) in strangers)
        raise InvalidInputError(
            f"tensor '{spec.name}' must have shape {list(spec.shape)} (-1: any): "
            f"{json_kind(found)} stands where an array of dimension {axis} belongs"
        )
    lengths = set(map(len, level))
    if len(lengths) > 1:
        raise InvalidInputError(
            f"tensor '{spec.name}' is ragged: dimension {axis} has lengths {min(lengths)} to {max(lengths)}"
        )
    length = lengths.pop()
    want = spec.shape[axis]
    if length != want and (want != FREE or length == 0):
        rule = "at least 1" if want == FREE else str(want)
        raise InvalidInputError(f"tensor '{spec.name}': dimension {axis} must be {rule}, not {length}")
    return length


def _array(values: list[Any], spec: TensorSpec) -> Array:
    kinds = set(map(type, values))
    if list in kinds:
        raise InvalidInputError(f"tensor '{spec.name}' is nested deeper than its shape {list(spec.shape)}")
    if spec.dtype is DType.BYTES:
        return _bytes_array(values, kinds, spec)
    if spec.dtype is DType.BOOL:
        _require(kinds == {bool} or (kinds <= {int, bool} and set(values) <= {0, 1}), values, {bool}, spec)
        return np.array(values, dtype=bool)
    if spec.dtype in _FLOAT_TYPES:
        _require(kinds <= _FLOATS, values, _FLOATS, spec)
        return _float_array(values, spec)
    _require(kinds <= _NUMBERS, values, _NUMBERS, spec)
    return _integer_array(values, spec, has_floats=float in kinds)


def _require(is_met: bool, values: list[Any], allowed: set[type] | frozenset[type], spec: TensorSpec) -> None:
    if not is_met:
        found = next((v for v in values if type(v) not in allowed), values[0])
        raise InvalidInputError(f"tensor '{spec.name}' takes {spec.dtype.value} values, not {_shown(found)}")


def _float_array(values: list[Any], spec: TensorSpec) -> Array:
    with np.errstate(over="ignore"):
        wide = np.float64 if spec.dtype is DType.BF16 else spec.dtype.numpy  # bfloat16 takes no None
        array = np.array(values, dtype=wide).astype(spec.dtype.numpy, copy=False)
    if np.isinf(array).any():
        overflown = (values[i] for i in np.flatnonzero(np.isinf(array)) if abs(values[i]) != math.inf)
        found = next(overflown, None)
        if found is not None:
            raise InvalidInputError(f"tensor '{spec.name}': {found} is out of range for {spec.dtype.value}")
    return array


def _integer_array(values: list[Any], spec: TensorSpec, *, has_floats: bool) -> Array:
    if has_floats:
        broken = next((v for v in values if type(v) is float and not (v.is_integer() and abs(v) < _MAX_EXACT)), None)
        if broken is not None:
            raise InvalidInputError(
                f"tensor '{spec.name}' takes whole numbers ({spec.dtype.value}), written exactly, not {broken}"
            )
        values = [int(v) for v in values]
    try:
        return np.array(values, dtype=spec.dtype.numpy)
    except OverflowError as error:
        limits = np.iinfo(spec.dtype.numpy)
        found = next(v for v in values if not limits.min <= v <= limits.max)
        raise InvalidInputError(f"tensor '{spec.name}': {found} is out of range for {spec.dtype.value}") from error


def _bytes_array(values: list[Any], kinds: set[type], spec: TensorSpec) -> Array:
    _require(kinds <= _BYTES, values, _BYTES, spec)
    array = np.empty(len(values), dtype=object)
    array[:] = [_decode_b64(v, spec) if isinstance(v, dict) else v for v in values] if dict in kinds else values
    return array


def _decode_b64(value: dict[str, Any], spec: TensorSpec) -> bytes:
    text = value.get("b64")
    if len(value) != 1 or not isinstance(text, str):
        raise InvalidInputError(f'tensor \'{spec.name}\' takes strings or {{"b64": "..."}}, not {_shown(value)}')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"tensor '{spec.name}': invalid base64: {error}") from error


def _json_bytes(value: Any, *, is_binary: bool) -> Any:
    raw = value if isinstance(value, bytes) else str(value).encode()
    if not is_binary:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(raw).decode("ascii")}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
