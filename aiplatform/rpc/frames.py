"""HTTP/2's frames: numbers, how their heads are read, and those that a server sends (RFC 9113, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD = Struct(">IBI")  # length (24 bits) and type (8), flags, stream id (31 bits and a reserved one)
HEAD_SIZE = 9
STREAM_BITS = 0x7FFFFFFF
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_SIZE = 16_384
LARGEST_FRAME_SIZE = 2**24 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

_NUMBER = Struct(">I")
_SETTING = Struct(">HI")
_TWO_NUMBERS = Struct(">II")


class Setting(IntEnum):
    """The settings of section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """The error codes of section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """What the other side did that ends the connection."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """What the other side did that ends one stream."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame_head(kind: int, size: int, flags: int, stream_id: int) -> bytes:
    """Return the nine bytes before a frame's payload."""
    return FRAME_HEAD.pack(size << 8 | kind, flags, stream_id)


def settings_frame(settings: Mapping[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    payload = b"".join(_SETTING.pack(name, value) for name, value in settings.items())
    return frame_head(SETTINGS, len(payload), 0, 0) + payload


SETTINGS_ACK = frame_head(SETTINGS, 0, ACK, 0)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return a SETTINGS payload's pairs, unknown ones included, in order.

    Raises: ConnectionFault if a value is out of its range.
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    pairs = list(_SETTING.iter_unpack(payload))
    for name, value in pairs:
        if name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH is 0 or 1, not {value}")
        if name == Setting.INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE {value} is too large")
        if name == Setting.MAX_FRAME_SIZE and not DEFAULT_FRAME_SIZE <= value <= LARGEST_FRAME_SIZE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE {value} is out of range")
    return pairs


def read_number(payload: bytes, name: str) -> int:
    """Return the 32 bits that are a frame's whole payload (RST_STREAM, WINDOW_UPDATE).

    Raises: ConnectionFault for another size.
    """
    if len(payload) != _NUMBER.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{name} of {len(payload)} bytes")
    number: int = _NUMBER.unpack(payload)[0]
    return number


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame_head(WINDOW_UPDATE, 4, 0, stream_id) + _NUMBER.pack(increment)


def reset_frame(stream_id: int, code: ErrorCode) -> bytes:
    """Return a RST_STREAM frame."""
    return frame_head(RST_STREAM, 4, 0, stream_id) + _NUMBER.pack(code)


def ping_frame(payload: bytes, *, is_ack: bool) -> bytes:
    """Return a PING frame; its payload has eight bytes."""
    return frame_head(PING, 8, ACK if is_ack else 0, 0) + payload


def goaway_frame(last_stream_id: int, code: ErrorCode, reason: str = "") -> bytes:
    """Return a GOAWAY frame."""
    payload = _TWO_NUMBERS.pack(last_stream_id, code) + reason.encode()
    return frame_head(GOAWAY, len(payload), 0, 0) + payload


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return the payload of a DATA or HEADERS frame without padding and priority.

    Raises: ConnectionFault if there is more padding than frame.
    """
    padding = 0
    if flags & PADDED:
        if not payload:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its length of padding")
        padding, payload = payload[0], payload[1:]
    if flags & HAS_PRIORITY:
        if len(payload) < 5:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
        payload = payload[5:]
    if padding > len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[: len(payload) - padding]
