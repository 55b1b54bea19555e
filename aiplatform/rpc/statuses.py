"""Our errors as gRPC statuses, and back: one table."""

from __future__ import annotations

import grpc

from aiplatform.errors import (
    ERRORS_BY_CODE,
    ConflictError,
    DeadlineExceededError,
    InvalidInputError,
    LimitError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    PlatformError,
    UnauthenticatedError,
    UnavailableError,
)
from aiplatform.rpc.calls import ERROR_CODE_KEY, RETRY_AFTER_KEY, Pairs

PUSHBACK_KEY = "grpc-retry-pushback-ms"  # what gRPC's own retries heed
LONGEST_MESSAGE_BYTES = 1500  # it travels as a header, up to three times as long; clients take 8 kB of headers
RETRY_AFTER_S = 1.0

# The first class that fits an error counts.
_STATUSES: tuple[tuple[type[PlatformError], grpc.StatusCode], ...] = (
    (InvalidInputError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (MethodNotAllowedError, grpc.StatusCode.UNIMPLEMENTED),
    (ConflictError, grpc.StatusCode.FAILED_PRECONDITION),
    (DeadlineExceededError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (LimitError, grpc.StatusCode.RESOURCE_EXHAUSTED),  # rate, queue, size of the request
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (PlatformError, grpc.StatusCode.INTERNAL),
)


def status_of(error: PlatformError) -> grpc.StatusCode:
    """Return the gRPC status that stands for an error."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def details_of(error: PlatformError) -> str:
    """Return the message as REST says it, cut to what a header may be."""
    raw = error.message.encode("utf-8", "replace")
    if len(raw) <= LONGEST_MESSAGE_BYTES:
        return raw.decode()
    return raw[:LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore") + "..."


def trailers_of(error: PlatformError) -> Pairs:
    """Return the error's code, and when to come again where that helps."""
    pairs = ((ERROR_CODE_KEY, error.code),)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is None and isinstance(error, UnavailableError):
        retry_after_s = RETRY_AFTER_S
    if retry_after_s is None:
        return pairs
    wait_s = max(1, round(retry_after_s))
    return (*pairs, (RETRY_AFTER_KEY, str(wait_s)), (PUSHBACK_KEY, str(wait_s * 1000)))


def error_from_status(status: grpc.StatusCode, details: str, trailers: dict[str, str]) -> PlatformError:
    """Rebuild the error that a server sent, by its code, else by its status."""
    error_class = ERRORS_BY_CODE.get(trailers.get(ERROR_CODE_KEY, "")) or _class_of(status)
    error = error_class(details or f"the service answered with status {status.name}")
    wait = trailers.get(RETRY_AFTER_KEY, "")
    if wait.isdigit() and isinstance(error, LimitError | UnavailableError):
        error.retry_after_s = float(wait)  # type: ignore[union-attr]
    return error


def _class_of(status: grpc.StatusCode) -> type[PlatformError]:
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return PayloadTooLargeError  # grpc's own word for a message past its limit
    return next((kind for kind, found in _STATUSES if found is status), PlatformError)
