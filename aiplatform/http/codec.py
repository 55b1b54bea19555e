"""Messages to JSON and back; both sides of a contract use the same dataclass."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from aiplatform.errors import InvalidInputError

JSON_TYPE = "application/json"

T = TypeVar("T")


def encode_message(message: Any) -> bytes:
    """Return a dataclass (or plain values) as JSON."""
    return msgspec.json.encode(message)


def decode_message(raw: bytes, message_type: type[T]) -> T:
    """Return the dataclass that JSON stands for.

    Raises: InvalidInputError naming the field and the rule.
    """
    try:
        return msgspec.json.decode(raw, type=message_type)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{message_type.__name__}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the body is not JSON: {error}") from error
