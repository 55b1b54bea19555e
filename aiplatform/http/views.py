"""Serving a contract: verify the signature, decode the message, call, encode the answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from aiplatform.errors import InvalidInputError, PlatformError, UnauthenticatedError
from aiplatform.http.codec import JSON_TYPE, decode_message, encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, verify_request
from aiplatform.identity import Identity

T = TypeVar("T")
log = structlog.get_logger(__name__)

View = Callable[..., HttpResponse]


def signed_identity(request: HttpRequest) -> Identity | None:
    """Return the identity that a signed internal request names; None if it is not signed.

    Raises: UnauthenticatedError if it is signed wrongly.
    """
    header = request.headers.get(SIGNATURE_HEADER)
    if not header:
        return None
    identity = request.headers.get(IDENTITY_HEADER, "")
    verify_request(
        settings.INTERNAL_SECRETS,
        header,
        method=request.method or "",
        target=canonical_target(request.path, request.META.get("QUERY_STRING", "")),
        body=request.body,
        identity=identity,
    )
    return decode_message(identity.encode(), Identity)


def internal_view(function: Callable[..., Any]) -> View:
    """Make a view of `function(request, **path arguments)`, which returns a message.

    Only signed requests come through; a PlatformError becomes its own JSON and status.
    """

    @csrf_exempt
    @functools.wraps(function)
    def view(request: HttpRequest, **arguments: Any) -> HttpResponse:
        try:
            request.platform_identity = _require_signature(request)  # type: ignore[attr-defined]
            return _json_response(function(request, **arguments))
        except PlatformError as error:
            return error_response(error)

    return view


def read_message(request: HttpRequest, message_type: type[T]) -> T:
    """Return the message in a POST.

    Raises: InvalidInputError for any other method or a body that does not fit.
    """
    if request.method != "POST":
        raise InvalidInputError(f"{request.path} takes POST, not {request.method}")
    return decode_message(request.body, message_type, content_type=request.content_type or JSON_TYPE)


def error_response(error: PlatformError) -> HttpResponse:
    """Return an error as JSON; Retry-After where it says when."""
    if error.http_status >= 500:
        log.warning("request_failed", code=error.code, error=error.message)
    response = _json_response(error.payload(), status=error.http_status)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        response["Retry-After"] = str(max(1, round(retry_after_s)))
    return response


def _require_signature(request: HttpRequest) -> Identity:
    identity = signed_identity(request)
    if identity is None:
        raise UnauthenticatedError(f"{request.path} is internal and takes signed requests only")
    return identity


def _json_response(message: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(encode_message(message), status=status, content_type=JSON_TYPE)
