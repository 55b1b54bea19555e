"""gzip and deflate, both ways. What a body unpacks to counts against the body's limit.

`deflate` is the zlib format (RFC 9110, 8.4.1.2), as clients send it.
"""

from __future__ import annotations

import functools
import gzip
import zlib

from aiplatform.errors import InvalidInputError, PayloadTooLargeError

MIN_PACKED_BYTES = 1024  # a smaller answer does not gain by it
LEVEL = 1  # tensors hardly shrink further, and the time is the caller's
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def unpack_body(body: bytes, encoding: str, *, limit_bytes: int) -> bytes:
    """Return a request's body without its Content-Encoding.

    Raises: InvalidInputError for another encoding or broken data; PayloadTooLargeError if it
    unpacks to more than `limit_bytes`, before more than that is unpacked.
    """
    bits = _WINDOW_BITS.get(encoding.strip().lower())
    if bits is None:
        raise InvalidInputError(f"Content-Encoding must be gzip, deflate or identity, not '{encoding:.40}'")
    unpacker = zlib.decompressobj(bits)
    try:
        plain = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise InvalidInputError(f"the request body is not valid {encoding:.40}: {error}") from error
    if len(plain) > limit_bytes:
        raise PayloadTooLargeError(
            f"the request body unpacks to more than {limit_bytes} bytes (MAX_BODY_BYTES)",
            limit="unpacked request body",
            value=limit_bytes,
            setting="MAX_BODY_BYTES",
        )
    if not unpacker.eof:
        raise InvalidInputError(f"the request body is not valid {encoding:.40}: it ends too early")
    if unpacker.unused_data:
        raise InvalidInputError(f"the request body is not valid {encoding:.40}: something follows its end")
    return plain


@functools.lru_cache(maxsize=256)
def choose_encoding(accepted: str) -> str:
    """Return the encoding of an answer for an Accept-Encoding: 'gzip', 'deflate' or '' for none.

    The greatest q wins, gzip among equals; what cannot be read counts as not accepted.
    """
    weights = dict(_weighted(item) for item in accepted.lower().split(","))
    others = weights.get("*", 0.0)
    gzip_weight, deflate_weight = weights.get("gzip", others), weights.get("deflate", others)
    best = "gzip" if gzip_weight >= deflate_weight else "deflate"
    weight = max(gzip_weight, deflate_weight)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else ""


def pack_answer(body: bytes, encoding: str) -> bytes:
    """Return an answer's body in an encoding that `choose_encoding` gave."""
    return gzip.compress(body, LEVEL, mtime=0) if encoding == "gzip" else zlib.compress(body, LEVEL)


def _weighted(item: str) -> tuple[str, float]:
    name, _, parameter = item.partition(";")
    key, _, value = parameter.strip().partition("=")
    if not parameter:
        return name.strip(), 1.0
    try:
        weight = float(value) if key.strip() == "q" else 0.0
    except ValueError:
        weight = 0.0
    return name.strip(), weight if 0 <= weight <= 1 else 0.0
