"""The transport for a service that lives in this process: the same request, without a socket."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterable
from typing import Any

import httpx
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import set_script_prefix

ORIGIN = "http://in-process"


class NestedHandler(WSGIHandler):
    """Django's WSGI handler for a request made while another one is being answered.

    It sends no request_started and request_finished: those would close the database connections
    of the request that is still running in this thread.
    """

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:  # type: ignore[override]
        # In a context of its own: what is bound to log lines in there must not replace the caller's.
        response = contextvars.copy_context().run(self._answer, environ)
        status = f"{response.status_code} {response.reason_phrase}"
        start_response(status, list(response.items()))
        return [_read_and_release(response)]

    def _answer(self, environ: dict[str, Any]) -> HttpResponseBase:
        set_script_prefix("/")
        return self.get_response(self.request_class(environ))


class InProcessTransport(httpx.BaseTransport):
    """httpx's WSGI transport, with the path as WSGI wants it: decoded once, as latin-1."""

    def __init__(self, handler: NestedHandler) -> None:
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request by this process's own Django."""

        def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["PATH_INFO"] = request.url.path.encode().decode("latin-1")
            return self._handler(environ, start_response)

        return httpx.WSGITransport(app=application).handle_request(request)


def _read_and_release(response: HttpResponseBase) -> bytes:
    body = b"".join(response) if isinstance(response, StreamingHttpResponse) else bytes(response.content)  # type: ignore[attr-defined]
    for close in response._resource_closers:  # type: ignore[attr-defined]
        close()
    return body


@functools.cache
def in_process_client() -> httpx.Client:
    """Return the client whose requests go to this process's own Django."""
    return httpx.Client(transport=InProcessTransport(NestedHandler()), base_url=ORIGIN)
