"""Requests' header blocks: read with hpack, once for each block that repeats.

Clients put what stays the same into HPACK's dynamic table, so that most requests of a connection have the very same
bytes for a block. A block that leaves the table as it is means the same as long as the table stays so:
it is read once and looked up from then on.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

from hpack import Decoder, HPACKError, OversizedHeaderListError

from aiplatform.errors import InvalidInputError, MethodNotAllowedError, PlatformError
from aiplatform.rpc.calls import SERVICES, STREAMING
from aiplatform.rpc.frames import ConnectionFault, ErrorCode, StreamFault

MAX_HEADER_BYTES = 16 * 1024  # of a request's names and values, and 32 a field
LONGEST_METHOD = 200
KNOWN_BLOCKS = 32  # a connection's, until its table changes

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_CONTENT_TYPE = re.compile(r"application/grpc([+;].*)?", re.IGNORECASE | re.DOTALL)
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_CONNECTIONS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class Head:
    """What a request's headers say; shared by all that say the same.

    `http_status` other than 200 or a `refusal` is the whole answer to such a request.
    """

    __slots__ = ("encoding", "http_status", "metadata", "method", "refusal", "timeout_s")

    def __init__(self) -> None:
        self.method = ""
        self.metadata: Mapping[str, str | bytes] = {}
        self.timeout_s: float | None = None
        self.encoding = "identity"
        self.http_status = 200
        self.refusal: PlatformError | None = None


class HeaderBlocks:
    """Reads one connection's header blocks, in their order."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_BYTES)
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """Return what a request's block says.

        Raises: ConnectionFault if it is no HPACK; StreamFault if it is no valid request.
        """
        head = self._known.get(block)
        if head is not None:
            return head
        before = self._table()
        pairs = self._decode(block)
        is_fixed = before.is_like(self._table())
        if not is_fixed:
            self._known.clear()
        head = read_head(pairs)
        if is_fixed and len(self._known) < KNOWN_BLOCKS:
            self._known[block] = head
        return head

    def skip(self, block: bytes) -> None:
        """Read a block for what it does to the table alone. Raises: ConnectionFault."""
        before = self._table()
        self._decode(block)
        if not before.is_like(self._table()):
            self._known.clear()

    def _decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        try:
            return [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            # What was not read may have changed the table, so nothing after it can be read either.
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, f"more than {MAX_HEADER_BYTES} bytes of headers"
            ) from error
        except (HPACKError, IndexError, UnicodeDecodeError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "the header block is no HPACK") from error

    def _table(self) -> _TableState:
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return _TableState(table.maxsize, len(entries), entries[0] if entries else None)


class _TableState(NamedTuple):
    """What differs after each change of the dynamic table: the newest entry is a new object."""

    max_bytes: int
    entries: int
    newest: object

    def is_like(self, other: _TableState) -> bool:
        return self[:2] == other[:2] and self.newest is other.newest


def read_head(pairs: list[tuple[bytes, bytes]]) -> Head:
    """Return what a request's headers say.

    Raises: StreamFault if they are no valid request (RFC 9113, section 8).
    """
    pseudo, fields = _split(pairs)
    head = Head()
    head.method = pseudo[b":path"].decode("latin-1")
    content_type = fields.get(b"content-type", b"").decode("latin-1")
    if not _CONTENT_TYPE.fullmatch(content_type):
        head.http_status = 415
    elif pseudo[b":method"] != b"POST":
        head.http_status = 405
    head.encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    try:
        head.metadata = _metadata(fields)
        head.timeout_s = _timeout_s(fields.get(b"grpc-timeout"))
        _check_method(head.method)
    except PlatformError as error:
        head.refusal = error
    return head


def _check_method(method: str) -> None:
    if method == STREAMING:
        raise MethodNotAllowedError("ModelStreamInfer is not served: ask with ModelInfer, one answer a request")
    if not method.startswith(SERVICES) or len(method) > LONGEST_METHOD:
        raise MethodNotAllowedError(f"'{method:.100}' is not served here")


def _split(pairs: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    pseudo: dict[bytes, bytes] = {}
    fields: dict[bytes, bytes] = {}
    for name, value in pairs:
        if not _VALUE.fullmatch(value):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a header's value has control characters")
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo or fields:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a pseudo-header is unknown, doubled or too late")
            pseudo[name] = value
        elif not _NAME.fullmatch(name) or name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a header that HTTP/2 does not allow")
        else:
            fields[name] = fields[name] + b"," + value if name in fields else value
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a pseudo-header is missing")
    return pseudo, fields


def _metadata(fields: Mapping[bytes, bytes]) -> dict[str, str | bytes]:
    return {
        name.decode(): _binary(name, value) if name.endswith(b"-bin") else value.decode("latin-1")
        for name, value in fields.items()
    }


def _binary(name: bytes, value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise InvalidInputError(f"the metadata '{name.decode():.80}' is not base64") from error


def _timeout_s(value: bytes | None) -> float | None:
    if value is None:
        return None
    match = _TIMEOUT.fullmatch(value.decode("latin-1"))
    if match is None:
        raise InvalidInputError("grpc-timeout is up to eight digits and one of H, M, S, m, u, n")
    return int(match[1]) * _UNITS_S[match[2]]
