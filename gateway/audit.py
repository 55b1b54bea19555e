"""The audit log of the REST APIs: every request that may change something, and how it ended."""

from __future__ import annotations

import structlog
from django.db import DatabaseError
from django.http import HttpRequest

from aiplatform.context import current_request_id
from aiplatform.identity import Identity
from gateway.policy import SAFE_METHODS
from gateway.services import record_audit

log = structlog.get_logger(__name__)


def audit_request(request: HttpRequest, http_status: int) -> None:
    """Write down a request that was not safe; with the database down, in the process's log."""
    if request.method in SAFE_METHODS:
        return
    identity: Identity | None = getattr(request, "platform_identity", None)
    actor = _actor(request, identity)
    try:
        record_audit(
            actor=actor,
            action=request.method or "",
            object=request.path,
            http_status=http_status,
            request_id=current_request_id(),
            identity=identity,
        )
    except DatabaseError as error:
        log.warning(
            "audit_not_written", actor=actor, action=request.method, object=request.path,
            status=http_status, error=str(error),
        )  # fmt: skip


def _actor(request: HttpRequest, identity: Identity | None) -> str:
    if identity is not None:
        return identity.username
    user = getattr(request, "user", None)  # set on the way by the console's session
    return str(user) if user is not None and user.is_authenticated else "anonymous"
