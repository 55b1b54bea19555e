"""Every error that crosses a module boundary, so that a code means the same everywhere.

    PlatformError                       internal                500
    ├── InvalidInputError               invalid_input           400
    │   └── InvalidConfigurationError   invalid_configuration   400
    ├── UnauthenticatedError            unauthenticated         401
    ├── PermissionDeniedError           permission_denied       403
    ├── NotFoundError                   not_found               404
    ├── MethodNotAllowedError           method_not_allowed      405
    ├── ConflictError                   conflict                409
    ├── LimitError                      (names limit, value, setting)
    │   ├── PayloadTooLargeError        payload_too_large       413
    │   ├── RateLimitedError            rate_limited            429
    │   ├── QueueFullError              queue_full              503
    │   └── DeadlineExceededError       deadline_exceeded       504
    ├── UnavailableError                unavailable             503
    ├── RemoteModelError                remote_model_error      502
    ├── ArtifactError                   artifact_error          500
    │   └── ArtifactCorruptError        artifact_corrupt        500
    └── OpenTransactionError            open_transaction        500

A server answers `payload()`; a client rebuilds the same class with `error_from_payload`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PlatformError(Exception):
    """An error with a stable code, an HTTP status and a message that names rule and value."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details
        self.model_version: int | None = None  # which version of a model failed, once one was chosen to answer

    def payload(self) -> dict[str, Any]:
        """Return the JSON body: `error` is the message, as serving clients expect it."""
        body: dict[str, Any] = {"error": self.message, "code": self.code}
        if self.details:
            body["details"] = self.details
        return body


class InvalidInputError(PlatformError):
    """The caller sent something that breaks a rule named in the message."""

    code = "invalid_input"
    http_status = 400


class InvalidConfigurationError(InvalidInputError):
    """A setting, parameter or recipe is not usable as given."""

    code = "invalid_configuration"


class UnauthenticatedError(PlatformError):
    """No identity could be established."""

    code = "unauthenticated"
    http_status = 401


class PermissionDeniedError(PlatformError):
    """The identity is known and lacks a scope."""

    code = "permission_denied"
    http_status = 403


class NotFoundError(PlatformError):
    """The named thing does not exist."""

    code = "not_found"
    http_status = 404


class MethodNotAllowedError(PlatformError):
    """The path exists and does not take this HTTP method; `allow` in the details names what it takes."""

    code = "method_not_allowed"
    http_status = 405


class ConflictError(PlatformError):
    """The thing's present state forbids the change."""

    code = "conflict"
    http_status = 409


class LimitError(PlatformError):
    """A limit was met; the message and the details name it, its value and its setting."""

    code = "rate_limited"
    http_status = 429

    def __init__(
        self,
        message: str,
        *,
        limit: str = "",
        value: float | int | None = None,
        setting: str = "",
        retry_after_s: float | None = None,
        **details: Any,
    ) -> None:
        named = {"limit": limit, "value": value, "setting": setting, "retry_after_s": retry_after_s}
        super().__init__(message, **{k: v for k, v in named.items() if v not in ("", None)}, **details)
        self.retry_after_s = retry_after_s


class PayloadTooLargeError(LimitError):
    """The request body is larger than the limit."""

    code = "payload_too_large"
    http_status = 413


class RateLimitedError(LimitError):
    """The caller has used up its share for now."""


class QueueFullError(LimitError):
    """The bounded queue before an engine has no room."""

    code = "queue_full"
    http_status = 503


class DeadlineExceededError(LimitError):
    """The answer would come, or came, after the deadline."""

    code = "deadline_exceeded"
    http_status = 504


class UnavailableError(PlatformError):
    """A service, store or endpoint cannot answer now; trying again later may help."""

    code = "unavailable"
    http_status = 503


class RemoteModelError(PlatformError):
    """A server that a model's requests are forwarded to failed, or answered something else than agreed."""

    code = "remote_model_error"
    http_status = 502


class ArtifactError(PlatformError):
    """A model artifact could not be written or read."""

    code = "artifact_error"


class ArtifactCorruptError(ArtifactError):
    """A file of a model artifact does not match its manifest."""

    code = "artifact_corrupt"


class OpenTransactionError(PlatformError):
    """A service was called inside an open database transaction."""

    code = "open_transaction"


def _tree(root: type[PlatformError]) -> list[type[PlatformError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


# LimitError itself shares a code with RateLimitedError, the class clients want to see.
ERRORS_BY_CODE: dict[str, type[PlatformError]] = {
    cls.code: cls for cls in _tree(PlatformError) if cls is not LimitError
}
_CODE_BY_STATUS: dict[int, type[PlatformError]] = {
    400: InvalidInputError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    409: ConflictError,
    413: PayloadTooLargeError,
    429: RateLimitedError,
    503: UnavailableError,
    504: DeadlineExceededError,
}


def error_from_payload(http_status: int, payload: object) -> PlatformError:
    """Rebuild the error that a server sent, by its code, else by its status."""
    body: Mapping[str, Any] = payload if isinstance(payload, Mapping) else {}
    fallback = _CODE_BY_STATUS.get(http_status, PlatformError)
    error_class = ERRORS_BY_CODE.get(str(body.get("code", "")), fallback)
    message = str(body.get("error") or f"the service answered with status {http_status}")
    error = error_class(message)
    details = body.get("details")
    if isinstance(details, Mapping):  # by name and not as arguments: a field may be called 'message'
        error.details = {str(k): v for k, v in details.items()}
    if isinstance(error, LimitError):
        error.retry_after_s = _number_or_none(error.details.get("retry_after_s"))
    return error


def _number_or_none(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
