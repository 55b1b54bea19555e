"""Messages to JSON and back; both sides of a contract use the same dataclass.

Bulk messages, whose columns are bytes, travel as msgpack: the same dataclass, without base64.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from aiplatform.errors import InvalidInputError

JSON_TYPE = "application/json"
PACKED_TYPE = "application/vnd.msgpack"

T = TypeVar("T")


def encode_message(message: Any) -> bytes:
    """Return a dataclass (or plain values) as JSON."""
    return msgspec.json.encode(message)


def encode_packed(message: Any) -> bytes:
    """Return a dataclass (or plain values) as msgpack."""
    return msgspec.msgpack.encode(message)


def decode_message(raw: bytes, message_type: type[T], *, content_type: str = JSON_TYPE) -> T:
    """Return the dataclass that JSON, or msgpack if `content_type` says so, stands for.

    Raises: InvalidInputError naming the field and the rule.
    """
    is_packed = content_type == PACKED_TYPE
    try:
        if is_packed:
            return msgspec.msgpack.decode(raw, type=message_type)
        return msgspec.json.decode(raw, type=message_type)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{message_type.__name__}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the body is not {'msgpack' if is_packed else 'JSON'}: {error}") from error
