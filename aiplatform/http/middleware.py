"""The request id: taken or made at the door, in every log line, and back in the response."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from aiplatform.context import REQUEST_ID_HEADER, begin_request, choose_request_id


class RequestContextMiddleware:
    """Give each request an id, and return it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = choose_request_id(request.headers.get(REQUEST_ID_HEADER, ""))
        begin_request(request_id)
        response = self._get_response(request)
        response[REQUEST_ID_HEADER] = request_id
        return response
