"""Header fields as they are sent: HPACK's literals, which no table keeps, so that bytes once made stay good."""

from __future__ import annotations

import functools
from urllib.parse import quote_from_bytes

from aiplatform.rpc.statuses import Status

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def field(name: str, value: str) -> bytes:
    """Return a header; a value that is not printable ASCII is escaped."""
    if not (value.isascii() and value.isprintable()):
        value = escape(value)
    return b"%s%s%s" % (_start(name), _length(len(value)), value.encode("ascii"))


repeated_field = functools.lru_cache(maxsize=1024)(field)  # for values of which there are few


@functools.lru_cache(maxsize=256)
def _start(name: str) -> bytes:
    raw = name.encode("ascii")
    return b"\x00" + _length(len(raw)) + raw


def _length(size: int) -> bytes:
    """Return an integer with a prefix of seven bits (RFC 7541, section 5.1)."""
    if size < 127:
        return _SHORT[size]
    out = bytearray((127,))
    size -= 127
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out)


_SHORT = tuple(bytes((size,)) for size in range(127))


def escape(message: str) -> str:
    """Return a grpc-message: printable ASCII, all else percent-encoded."""
    return quote_from_bytes(message.encode("utf-8", "replace"), safe=_PRINTABLE)


# :status 200 is HPACK's static entry 8, content-type the name 31.
ANSWER_BLOCK = b"\x88\x0f\x10\x10application/grpc" + field("grpc-accept-encoding", "identity, deflate, gzip")
OK_STATUS = field("grpc-status", "0")


def error_block(status: Status, message: str) -> bytes:
    """Return the beginning of an answer that is only an error (Trailers-Only)."""
    return ANSWER_BLOCK + field("grpc-status", str(int(status))) + field("grpc-message", escape(message))


def plain_block(http_status: int) -> bytes:
    """Return the headers of an answer to what is not gRPC."""
    return b"\x08\x03" + str(http_status).encode()  # the name of the static entry 8 with a value of our own
