"""JSON bytes to an object and back, with the rules that all JSON protocols share.

JSON has no NaN and no infinity: a request that writes them is refused, `null` in a
floating-point tensor stands for NaN, and NaN and infinities are answered as `null`.
"""

from __future__ import annotations

from typing import Any

import orjson

from aiplatform.errors import InvalidInputError, PlatformError


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises: InvalidInputError for an empty body, invalid JSON or UTF-8, too deep nesting (1024), or
    a value that is no object.
    """
    if not body:
        raise InvalidInputError("the request body is empty; a JSON object is needed")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the request body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"the request body must be a JSON object, not {json_kind(value)}")
    return value


def dump(value: Any) -> bytes:
    """Return JSON; numpy arrays are written as nested lists.

    Raises: PlatformError for a value that has no JSON form.
    """
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise PlatformError(f"the answer has no JSON form: {error}") from error


def json_kind(value: object) -> str:
    """Return what JSON calls a value's type."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # an array that is not contiguous, or of a type that orjson lacks
        return value.tolist()
    raise TypeError(type(value).__name__)
