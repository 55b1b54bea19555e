"""JSON bytes to an object and back, with the rules that all JSON protocols share.

JSON has no NaN and no infinity. TF Serving's protocol writes them as bare tokens all the same
(`NaN`, `Infinity`, `-Infinity`), so its codec asks for them; elsewhere a request that writes them
is refused. `null` in a floating-point tensor stands for NaN, and NaN and infinities are answered
as `null` unless the protocol has tokens.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from aiplatform.errors import InvalidInputError, PlatformError

_KINDS = {
    dict: "an object",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
    int: "a number",
    float: "a number",
}


def parse_object(body: bytes, *, takes_tokens: bool = False) -> dict[str, Any]:
    """Return the JSON object in a body. Of a key that comes twice, the last value counts.

    Raises: InvalidInputError for an empty body, invalid JSON or UTF-8, too deep nesting (1024), or
    a value that is no object.
    """
    if not body:
        raise InvalidInputError("the request body is empty; a JSON object is needed")
    value = load(body, takes_tokens=takes_tokens)
    if not isinstance(value, dict):
        raise InvalidInputError(f"the request body must be a JSON object, not {json_kind(value)}")
    return value


def load(raw: bytes, *, takes_tokens: bool = False) -> Any:
    """Return the value that JSON text stands for; with NaN and infinities if it `takes_tokens`.

    Raises: InvalidInputError as above.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if takes_tokens and (b"NaN" in raw or b"Infinity" in raw):
            return _load_with_tokens(raw)
        raise InvalidInputError(f"the request body is not valid JSON: {error}") from error


def dump(value: Any) -> bytes:
    """Return JSON; numpy arrays are written as nested lists.

    Raises: PlatformError for a value that has no JSON form.
    """
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise PlatformError(f"the answer has no JSON form: {error}") from error


def json_kind(value: object) -> str:
    """Return what JSON calls a value's type; an array may be a list or still be text."""
    return _KINDS.get(type(value), "an array")


def _load_with_tokens(raw: bytes) -> Any:
    # The standard library knows the tokens. Numbers are read, and strings checked, by the usual
    # parser, so that the same rules hold: no 1e400, no lone surrogates.
    try:
        value = json.loads(raw.decode(), parse_float=orjson.loads, parse_int=orjson.loads)
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInputError(f"the request body is not valid JSON: {error}") from error
    return value


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # an array that is not contiguous, or of a type that orjson lacks
        return value.tolist()
    raise TypeError(type(value).__name__)
