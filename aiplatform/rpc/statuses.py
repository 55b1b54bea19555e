"""Our errors as gRPC statuses, and back: one table."""

from __future__ import annotations

from enum import IntEnum

from aiplatform.contracts.predict import MODEL_VERSION_HEADER
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

MODEL_VERSION_KEY = MODEL_VERSION_HEADER.lower()
PUSHBACK_KEY = "grpc-retry-pushback-ms"  # what gRPC's own retries heed
LONGEST_MESSAGE_BYTES = 1500  # it travels as a header, up to three times as long; clients take 8 kB of headers
RETRY_AFTER_S = 1.0


class Status(IntEnum):
    """gRPC's statuses, by their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# The first class that fits an error counts.
_STATUSES: tuple[tuple[type[PlatformError], Status], ...] = (
    (InvalidInputError, Status.INVALID_ARGUMENT),
    (UnauthenticatedError, Status.UNAUTHENTICATED),
    (PermissionDeniedError, Status.PERMISSION_DENIED),
    (NotFoundError, Status.NOT_FOUND),
    (MethodNotAllowedError, Status.UNIMPLEMENTED),
    (ConflictError, Status.FAILED_PRECONDITION),
    (DeadlineExceededError, Status.DEADLINE_EXCEEDED),
    (LimitError, Status.RESOURCE_EXHAUSTED),  # rate, queue, size of the request
    (UnavailableError, Status.UNAVAILABLE),
    (PlatformError, Status.INTERNAL),
)


def status_of(error: PlatformError) -> Status:
    """Return the gRPC status that stands for an error."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def details_of(error: PlatformError) -> str:
    """Return the message as REST says it, cut to what a header may be."""
    raw = error.message.encode("utf-8", "replace")
    if len(raw) <= LONGEST_MESSAGE_BYTES:
        return raw.decode()
    return raw[:LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore") + "..."


def trailers_of(error: PlatformError) -> Pairs:
    """Return the error's code, the version that failed, and when to come again where that helps."""
    pairs: Pairs = ((ERROR_CODE_KEY, error.code),)
    if error.model_version is not None:
        pairs = (*pairs, (MODEL_VERSION_KEY, str(error.model_version)))
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is None and isinstance(error, UnavailableError):
        retry_after_s = RETRY_AFTER_S
    if retry_after_s is None:
        return pairs
    wait_s = max(1, round(retry_after_s))
    return (*pairs, (RETRY_AFTER_KEY, str(wait_s)), (PUSHBACK_KEY, str(wait_s * 1000)))


def error_from_status(status: Status, details: str, trailers: dict[str, str]) -> PlatformError:
    """Rebuild the error that a server sent, by its code, else by its status."""
    error_class = ERRORS_BY_CODE.get(trailers.get(ERROR_CODE_KEY, "")) or _class_of(status)
    error = error_class(details or f"the service answered with status {status.name}")
    version, wait = trailers.get(MODEL_VERSION_KEY, ""), trailers.get(RETRY_AFTER_KEY, "")
    if version.isdigit():
        error.model_version = int(version)
    if wait.isdigit() and isinstance(error, LimitError | UnavailableError):
        error.retry_after_s = float(wait)  # type: ignore[union-attr]
    return error


def _class_of(status: Status) -> type[PlatformError]:
    if status is Status.RESOURCE_EXHAUSTED:
        return PayloadTooLargeError  # grpc's own word for a message past its limit
    return next((kind for kind, found in _STATUSES if found is status), PlatformError)
