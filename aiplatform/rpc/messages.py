"""gRPC's length-prefixed messages: a byte that says whether it is packed, four for its length, then the message."""

from __future__ import annotations

import zlib

from aiplatform.errors import InvalidInputError, MethodNotAllowedError, PayloadTooLargeError

PREFIX_SIZE = 5
ENCODINGS = ("identity", "deflate", "gzip")
_GZIP_OR_ZLIB = 47  # zlib's code for "either, by its first bytes"


def message_size(prefix: bytes, max_bytes: int) -> int:
    """Return how long the message is of which these are the first five bytes.

    Raises: PayloadTooLargeError, InvalidInputError.
    """
    if prefix[0] > 1:
        raise InvalidInputError(f"a message begins with 0 or 1, not {prefix[0]}")
    size = int.from_bytes(prefix[1:PREFIX_SIZE], "big")
    if size > max_bytes:
        raise too_large(size, max_bytes)
    return size


def unpack_message(packed: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return a message that was packed.

    Raises: PayloadTooLargeError for what unpacks to more than `max_bytes`, InvalidInputError for what is broken,
    MethodNotAllowedError for an encoding that is not known.
    """
    if encoding == "identity":
        raise InvalidInputError("a packed message without grpc-encoding")
    if encoding not in ENCODINGS:
        raise MethodNotAllowedError(f"grpc-encoding '{encoding:.80}' is not served; served are: {', '.join(ENCODINGS)}")
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        message = unpacking.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise InvalidInputError(f"the message is not valid {encoding}: {error}") from error
    if len(message) > max_bytes:
        raise too_large(len(message), max_bytes)
    if not unpacking.eof or unpacking.unused_data:
        raise InvalidInputError(f"the message is not valid {encoding}: it ends too early or too late")
    return message


def too_large(size: int, max_bytes: int) -> PayloadTooLargeError:
    """Return the error for a message above the limit."""
    return PayloadTooLargeError(
        f"the message has {size} bytes or more; the limit is {max_bytes} (MAX_BODY_BYTES)",
        limit="message",
        value=max_bytes,
        setting="MAX_BODY_BYTES",
    )


def too_much_at_once(max_bytes: int) -> PayloadTooLargeError:
    """Return the error for a connection with too many messages that are not whole."""
    return PayloadTooLargeError(
        f"the connection's unfinished messages have more than {max_bytes} bytes (MAX_BODY_BYTES)",
        limit="unfinished messages of a connection",
        value=max_bytes,
        setting="MAX_BODY_BYTES",
    )
