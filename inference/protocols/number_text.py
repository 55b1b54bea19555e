"""Long arrays of numbers, read from JSON text straight into a buffer: no Python object a number.

A body's long arrays of numbers are cut out before it is parsed, and each comes back as a
`NumberText`. Its structure is checked on the brackets and commas alone, its numbers are parsed by
simdjson into one buffer. Whatever is unusual (ragged, other types, out of range, NaN) is left to
the strict reader of `json_arrays`, which also words the errors: here nothing is ever refused.
Measurements: docs/decisions/json-parsing.md.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType
from inference.protocols.json_body import load, parse_object
from inference.protocols.messages import Array

Parser: Any
try:
    import simdjson

    Parser = simdjson.Parser
except ImportError:  # no wheel for this machine
    Parser = None

MIN_BYTES = 64  # shorter arrays cost more to cut out than to parse
MAX_ARRAYS = 256
MAX_MISSES = 64
MAX_KNOWN_BYTES = 8192  # longer structures are not remembered
_BEGIN = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*(?=\[)")
_MARK = secrets.token_hex(16)  # stands where an array was; nobody can guess it
_SPACE = b" \t\n\r"
_PLACES = ("inputs", "instances")
_NUMBER_BYTES = b"0123456789+-.eE \t\n\r"
_FLOATS = frozenset({DType.FP16, DType.FP32, DType.FP64})
_SIGNED = frozenset({DType.INT8, DType.INT16, DType.INT32, DType.INT64})
_UNSIGNED = frozenset({DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64})


def is_available() -> bool:
    """Say whether there is a parser; without it the strict reader takes everything."""
    return Parser is not None


class NumberText:
    """A JSON array, not parsed yet, that seems to hold numbers only."""

    __slots__ = ("_body", "_takes_tokens", "text")

    def __init__(self, text: bytes, body: bytes, *, takes_tokens: bool) -> None:
        self.text = text
        self._body = body
        self._takes_tokens = takes_tokens

    def value(self) -> Any:
        """Return the nested lists; InvalidInputError if the body is not valid JSON after all."""
        try:
            return load(self.text, takes_tokens=self._takes_tokens)
        except InvalidInputError:
            parse_object(self._body, takes_tokens=self._takes_tokens)  # names the place in the body
            raise

    def __repr__(self) -> str:
        return self.text[:80].decode(errors="replace")


def parse_lifting(body: bytes, keys: Iterable[str], *, takes_tokens: bool = False) -> dict[str, Any]:
    """Return the JSON object in a body, with long arrays of numbers below `keys` as NumberText.

    They stand where tensors stand: under `inputs` or `instances`, at most two levels down.
    Raises: InvalidInputError as `parse_object`.
    """
    spans = _spans(body, keys) if is_available() and len(body) > 2 * MIN_BYTES else []
    message = _lifted(body, spans, takes_tokens=takes_tokens) if spans else None
    return parse_object(body, takes_tokens=takes_tokens) if message is None else message


def first_long_array(body: bytes, key: str, before: int) -> tuple[int, int] | None:
    """Return where the first long array of numbers below a key begins and ends, if that is `before` a place.

    None without a parser, or if the first time that the key comes there is none.
    """
    if not is_available():
        return None
    quoted = f'"{key}"'.encode()
    if body.find(quoted, 0, before) < 0:
        return None
    return next(_arrays_below(body, quoted, 0, len(body)), None)


def read_only_value(body: bytes, key: str, rank: int, dtype: DType) -> Array | None:
    """Return the array of a body that is `{"key": ARRAY}` and no more, the usual one; None for any other."""
    begin = _opening(key).match(body)
    if begin is None:
        return None
    body = body.rstrip(_SPACE)
    if not body.endswith(b"}"):
        return None
    # Whatever else stands there, a second key too, makes the text no single array: its parser sees to that.
    return read_numbers(body[begin.end() : -1], rank, dtype)


@lru_cache(maxsize=64)
def _opening(key: str) -> re.Pattern[bytes]:
    return re.compile(rb"[ \t\n\r]*\{[ \t\n\r]*" + re.escape(f'"{key}"'.encode()) + rb"[ \t\n\r]*:[ \t\n\r]*(?=\[)")


def joined(values: list[Any]) -> Any:
    """Return a list of rows as one NumberText if all of them are such, else as nested lists."""
    if all(type(value) is NumberText for value in values):
        first = values[0]
        text = b"[" + b",".join(value.text for value in values) + b"]"
        return NumberText(text, first._body, takes_tokens=first._takes_tokens)
    return [value.value() if type(value) is NumberText else value for value in values]


def read_numbers(text: bytes, rank: int, dtype: DType) -> Array | None:
    """Return the array of that rank in JSON text; None unless it is plain, whole and in range."""
    kind = "d" if dtype in _FLOATS else "i" if dtype in _SIGNED else "u" if dtype in _UNSIGNED else ""
    shape = shape_of(text, rank) if kind and is_available() else None
    if shape is None:
        return None
    try:
        parsed: Any = Parser().parse(text)
        buffer = parsed.as_buffer(of_type=kind)
    except (ValueError, TypeError, RuntimeError, AttributeError):
        return None
    flat = np.frombuffer(buffer, dtype=f"{kind.replace('d', 'f')}8")
    if len(flat) != math.prod(shape):  # an empty array has the brackets of one with one number
        return None
    array = _narrowed(flat, dtype)
    return None if array is None else array.reshape(shape)


def shape_of(text: bytes, rank: int) -> tuple[int, ...] | None:
    """Return the shape that brackets and commas describe; None unless all agree on one."""
    structure = text.translate(None, _NUMBER_BYTES)
    if len(structure) > MAX_KNOWN_BYTES:
        return _shape_of_structure(structure, rank)
    return _known_shape(structure, rank)


def _shape_of_structure(structure: bytes, rank: int) -> tuple[int, ...] | None:
    # Level by level from the innermost: the first array of a level gives its length, and in the
    # end the structure that follows from all lengths must be the text's.
    shape: list[int] = []
    unit = b""
    for closing in range(1, rank + 1):
        opened = rank - closing
        end = structure.find(b"]" * closing, opened) + closing
        length = (end - opened - 1) // (len(unit) + 1)
        if end < closing or length < 1:
            return None
        unit = b"[" + (unit + b",") * (length - 1) + unit + b"]"
        shape.append(length)
    return tuple(reversed(shape)) if unit == structure and rank else None


_known_shape = lru_cache(maxsize=64)(_shape_of_structure)  # clients repeat themselves


def is_nested(text: bytes) -> bool:
    """Say whether the array's first element is an array."""
    return text[1:64].lstrip().startswith(b"[")


def _narrowed(flat: Array, dtype: DType) -> Array | None:
    wanted = dtype.numpy
    if flat.dtype == wanted:
        return flat
    if dtype in _FLOATS:
        try:
            with np.errstate(over="raise"):
                return flat.astype(wanted)
        except FloatingPointError:  # out of range
            return None
    limits = np.iinfo(wanted)
    return flat.astype(wanted) if limits.min <= flat.min() and flat.max() <= limits.max else None


def _lifted(body: bytes, spans: list[tuple[int, int]], *, takes_tokens: bool) -> dict[str, Any] | None:
    texts = {
        f"{_MARK}{i}": NumberText(body[start:end], body, takes_tokens=takes_tokens)
        for i, (start, end) in enumerate(spans)
    }
    try:
        message = parse_object(_without(body, spans), takes_tokens=takes_tokens)
    except InvalidInputError:
        return None
    return message if _put_back(message, texts) else None


def _spans(body: bytes, keys: Iterable[str]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    misses = 0
    for key in keys:
        for begin, end in _gaps(spans, len(body)):
            for span in _arrays_below(body, f'"{key}"'.encode(), begin, end):
                if span is None:
                    misses += 1
                else:
                    spans.append(span)
                if misses > MAX_MISSES or len(spans) > MAX_ARRAYS:
                    return []
        spans.sort()
    return spans


def _gaps(spans: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    # What was found already holds no keys, and is most of the body: it is not searched again.
    edges = [0, *(edge for span in spans for edge in span), length]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _arrays_below(body: bytes, key: bytes, at: int, stop: int) -> Iterator[tuple[int, int] | None]:
    # Up to the next quote or brace there can be nothing but numbers, brackets and commas (or bare
    # words, which no reader of numbers takes); the array ends with the last bracket before that.
    at = body.find(key, at, stop)
    while at >= 0:
        at += len(key)
        if begin := _BEGIN.match(body, at, stop):
            start = begin.end()
            quote = body.find(b'"', start, stop)
            limit = quote if quote >= 0 else stop
            brace = body.find(b"}", start, limit)
            end = body.rfind(b"]", start, brace if brace >= 0 else limit) + 1
            yield (start, end) if end - start >= MIN_BYTES else None
            at = max(end, start)
        else:
            yield None
        at = body.find(key, at, stop)


def _without(body: bytes, spans: list[tuple[int, int]]) -> bytes:
    # A mark is a string, so the rest is valid JSON only if each span stood where a value stands.
    pieces: list[bytes] = []
    at = 0
    for i, (start, end) in enumerate(spans):
        pieces += (body[at:start], f'"{_MARK}{i}"'.encode())
        at = end
    return b"".join((*pieces, body[at:]))


def _put_back(message: dict[str, Any], texts: dict[str, NumberText]) -> bool:
    found = 0
    for key in _PLACES:
        value = message.get(key)
        found += _replace(message, key, value, texts)
        if isinstance(value, dict):
            found += sum(_replace(value, name, v, texts) for name, v in value.items())
        elif isinstance(value, list):
            objects = (item for item in value if type(item) is dict)
            found += sum(_replace(item, name, v, texts) for item in objects for name, v in item.items())
    return found == len(texts)


def _replace(owner: dict[str, Any], key: str, value: Any, texts: dict[str, NumberText]) -> bool:
    text = texts.get(value) if type(value) is str else None
    if text is not None:
        owner[key] = text
    return text is not None
