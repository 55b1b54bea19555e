"""Liveness and readiness. Readiness says what is missing; the hot path does not ask the database."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from aiplatform.wiring import wiring


def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process answers at all."""
    return JsonResponse({"live": True})


def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if every part of this process can do its work, else 503, with the parts."""
    parts = {name: report() for name, report in sorted(wiring.readiness.items())}
    parts["database"] = _database_part(is_needed=not parts)
    is_ready = all(part["is_ready"] for part in parts.values())
    return JsonResponse({"ready": is_ready, "parts": parts}, status=200 if is_ready else 503)


def _database_part(*, is_needed: bool) -> dict[str, Any]:
    # A part that brings its own report decides itself whether it can go on without a database.
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return {"is_ready": not is_needed, "is_reachable": False, "error": str(error)}
    return {"is_ready": True, "is_reachable": True}
