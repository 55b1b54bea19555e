"""A small service for the transport's tests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from aiplatform.context import current_request_id, describe_request
from aiplatform.errors import ConflictError, QueueFullError
from aiplatform.http.views import internal_view, read_message

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Echo:
    """What comes back: the text, and what the service knew of the call."""

    text: str
    username: str = ""
    request_id: str = ""
    path: str = ""
    query: str = ""
    has_open_transaction: bool = False


@internal_view
def echo(request: HttpRequest, name: str = "") -> Echo:
    text = read_message(request, Echo).text if request.method == "POST" else name
    identity: Any = request.platform_identity  # type: ignore[attr-defined]
    describe_request(bound_by="the service")
    return Echo(
        text=text,
        username=identity.username,
        request_id=current_request_id(),
        path=request.path,
        query=request.META.get("QUERY_STRING", ""),
        has_open_transaction=transaction.get_connection().in_atomic_block,
    )


@internal_view
def conflict(request: HttpRequest) -> Echo:
    raise ConflictError("it has moved on", generation=3)


@internal_view
def full(request: HttpRequest) -> Echo:
    raise QueueFullError("full", limit="queue", value=1, setting="QUEUE", retry_after_s=4)


@internal_view
def slow(request: HttpRequest) -> Echo:
    time.sleep(1.0)
    return Echo(text="late")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<html>a proxy's page</html>")


urlpatterns = [
    path("internal/test/echo", echo),
    path("internal/test/echo/<str:name>", echo),
    path("internal/test/conflict", conflict),
    path("internal/test/full", full),
    path("internal/test/slow", slow),
    path("internal/test/page", page),
]
