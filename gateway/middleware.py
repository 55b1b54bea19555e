"""The door for Django's paths: who is asking, how often, and where the answer is.

A request below /api/ with a token gets its identity here; one without goes on, for the console's
session (ConsoleAuthentication) or to be refused by the view. Services that live elsewhere are
forwarded to. /internal/ is never forwarded; it is signed, and only there if its app is here.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from aiplatform.context import describe_request
from aiplatform.errors import PayloadTooLargeError, PlatformError, UnauthenticatedError
from aiplatform.http.views import error_response
from aiplatform.identity import Identity
from gateway.audit import audit_request
from gateway.forwarding.rest import RestForwarder
from gateway.identities import KnownToken
from gateway.limits.answers import rate_headers
from gateway.metrics import count_request
from gateway.policy import admit, api_route, check_api_scope
from gateway.process import Gateway, this_gateway

log = structlog.get_logger(__name__)

API_PREFIX = "/api/"


class GatewayMiddleware:
    """Applies the gateway's policy to /api/; all other paths pass as they are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(API_PREFIX):
            return self._get_response(request)
        started_s = time.perf_counter()
        route = api_route(request.path)
        headers: list[tuple[str, str]] = []
        try:
            response = self._answer(request, route, headers)
        except PlatformError as error:
            response = error_response(error)
            if isinstance(error, UnauthenticatedError):
                response["WWW-Authenticate"] = "Bearer"
        for name, value in headers:
            response[name] = value
        audit_request(request, response.status_code)
        count_request(f"api/{route}", response.status_code, time.perf_counter() - started_s)
        return response

    def _answer(self, request: HttpRequest, route: str, headers: list[tuple[str, str]]) -> HttpResponseBase:
        gateway = this_gateway()
        _check_length(request)
        identity = self._admit(gateway, request, route, headers)
        pool = gateway.pools.get(route)
        if pool is None:
            return self._get_response(request)
        if identity is None:
            raise UnauthenticatedError("this needs a token: Authorization: Bearer <token>")
        return _rest_forwarder().forward(request, pool, identity)

    def _admit(
        self, gateway: Gateway, request: HttpRequest, route: str, headers: list[tuple[str, str]]
    ) -> Identity | None:
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            return None
        token: KnownToken = gateway.identities.authenticate(authorization)
        identity = token.identity
        request.platform_identity = identity  # type: ignore[attr-defined]
        describe_request(user=identity.username, token_id=identity.token_id)
        verdict, error = admit(gateway.limiter, token, route)
        headers += rate_headers(verdict)
        if error is not None:
            raise error
        check_api_scope(identity, route, request.method or "")
        return identity


@functools.cache
def _rest_forwarder() -> RestForwarder:
    return RestForwarder(secret=settings.INTERNAL_SECRETS[0], longest_s=settings.GATEWAY_API_TIMEOUT_S)


def _check_length(request: HttpRequest) -> None:
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if declared.isdigit() and int(declared) > settings.MAX_BODY_BYTES:
        raise PayloadTooLargeError(
            f"the request body has {declared} bytes, more than {settings.MAX_BODY_BYTES}",
            limit="request body",
            value=settings.MAX_BODY_BYTES,
            setting="MAX_BODY_BYTES",
        )
