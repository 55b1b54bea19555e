"""Reads the head of a plain POST request; strict, since whatever it does not take is read by gunicorn."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

END = b"\r\n\r\n"
MAX_HEAD_BYTES = 8 * 1024
MAX_FIELDS = 64
KNOWN_HEADS = 1024  # clients repeat themselves: the same head comes with nearly every request of a connection

_REQUEST_LINE = re.compile(rb"POST (/[A-Za-z0-9/_.:~@!$&'()*+,;=-]*) HTTP/1\.1")  # no query, nothing percent-encoded
_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^`|~-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")  # no '_'
MAY_VARY = frozenset({b"x-request-id", b"x-platform-signature"})  # headers that differ from request to request
_VARYING = b"\r\nx-request-id: "
_PLAIN = re.compile(rb"[\x21-\x7e]*")
_LENGTH = re.compile(rb"[0-9]{1,12}")
# What changes how a message is framed or a connection goes on is gunicorn's.
_NOT_HERE = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"http2-settings"})


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A request's path, its headers by lower-case name, and how long its body is."""

    path: str
    headers: Mapping[bytes, bytes]
    content_length: int

    def text(self, name: bytes) -> str:
        """Return a header by lower-case name, '' if it is not there."""
        return self.headers.get(name, b"").decode("latin-1")


def parse_head(raw: bytes) -> Head | None:
    """Return what a head says, given without its END; None if it is not for the lane."""
    line, *fields = raw.split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None or len(fields) > MAX_FIELDS:
        return None
    headers: dict[bytes, bytes] = {}
    for field in fields:
        pair = _parse_field(field)
        if pair is None or pair[0] in headers:
            return None
        headers[pair[0]] = pair[1]
    length = headers.get(b"content-length", b"")
    if b"host" not in headers or not _LENGTH.fullmatch(length):
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return Head(request[1].decode("ascii"), headers, int(length))


def split_head(raw: bytes, varying: frozenset[bytes]) -> tuple[bytes, dict[bytes, bytes]] | None:
    """Return a head up to the headers that vary from request to request, and these; None if it has none at its end.

    They begin with the request's id and are all of `varying`. What stands before them ends with a line's end, which no
    whole head does.
    """
    at = raw.find(_VARYING)
    if at < 0:
        return None
    found: dict[bytes, bytes] = {}
    for field in raw[at + 2 :].split(b"\r\n"):
        name, _, value = field.partition(b": ")
        if name not in varying or name in found or not _PLAIN.fullmatch(value):
            return None
        found[name] = value
    return raw[: at + 2], found


@functools.lru_cache(maxsize=4096)
def _parse_field(line: bytes) -> tuple[bytes, bytes] | None:
    """Return a header's lower-case name and its value; None if it is not for the lane."""
    match = _FIELD.fullmatch(line)
    if match is None:
        return None
    name = match[1].lower()
    return None if name in _NOT_HERE else (name, match[2].rstrip(b" \t"))
