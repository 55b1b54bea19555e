"""Which headers travel on, and how long the caller is willing to wait."""

from __future__ import annotations

from collections.abc import Iterable

from aiplatform.errors import DeadlineExceededError, InvalidInputError

_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers",
    "transfer-encoding", "upgrade",
}  # fmt: skip
# The gateway sets these itself, or they are for the gateway alone.
_NOT_SENT_ON = _HOP_BY_HOP | {
    "host", "content-length", "authorization", "cookie", "expect", "accept-encoding",
    "x-platform-signature", "x-platform-identity", "x-request-id", "x-request-timeout-ms",
}  # fmt: skip
_NOT_SENT_BACK = _HOP_BY_HOP | {"content-length", "content-encoding", "server", "date", "x-request-id", "set-cookie"}
# Predictions pass as they are, packed or not.
_RAW_NOT_SENT_ON = frozenset(name.encode() for name in _NOT_SENT_ON - {"accept-encoding"})
_RAW_NOT_SENT_BACK = frozenset(name.encode() for name in _NOT_SENT_BACK - {"content-encoding"})


def request_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of a request that a service may see: no token, no cookie, no claims."""
    return [(name, value) for name, value in headers if name.lower() not in _NOT_SENT_ON]


def response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of an answer that go back to the caller."""
    return [(name, value) for name, value in headers if name.lower() not in _NOT_SENT_BACK]


def raw_request_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Do the same for headers as ASGI has them: bytes, names in lower case."""
    return [pair for pair in headers if pair[0] not in _RAW_NOT_SENT_ON]


def raw_response_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that go back, of bytes with names in lower case."""
    return [pair for pair in headers if pair[0] not in _RAW_NOT_SENT_BACK]


def patience_s(header: str, longest_s: float) -> float:
    """Return how long to wait: what the caller says in milliseconds, at most `longest_s`.

    Raises: InvalidInputError if the header is not a positive number.
    """
    if not header:
        return longest_s
    try:
        asked_ms = float(header)
    except ValueError:
        asked_ms = 0.0
    if not 0 < asked_ms < float("inf"):
        raise InvalidInputError(f"X-Request-Timeout-Ms must be a number of milliseconds above 0, not '{header[:40]}'")
    return min(asked_ms / 1000, longest_s)


def deadline_error(service: str, waited_s: float, *, longest_s: float, setting: str) -> DeadlineExceededError:
    """Return the error for an answer that did not come in time."""
    is_callers = waited_s < longest_s
    source = "X-Request-Timeout-Ms" if is_callers else setting
    return DeadlineExceededError(
        f"'{service}' did not answer within {waited_s * 1000:.0f} ms, the limit set by {source}",
        limit="forwarding deadline",
        value=round(waited_s, 3),
        setting=source,
    )
