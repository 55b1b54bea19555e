"""What both gRPC codecs do with a message: parse it, and refuse what is none."""

from __future__ import annotations

import re
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from aiplatform.errors import InvalidInputError

M = TypeVar("M", bound=Message)


def parse_message(kind: type[M], body: bytes) -> M:
    """Return the message in a body.

    Raises: InvalidInputError if the bytes are none.
    """
    message = kind()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise InvalidInputError(f"the request is not a valid {kind.DESCRIPTOR.name}: {error}") from error
    return message


def parse_version(text: str) -> int | None:
    """Return a version written as text; None for '', which means whichever the traffic goes to.

    Raises: InvalidInputError for anything but a whole number.
    """
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidInputError(f"a version is a whole number, not '{text:.80}'")
    return int(text)
