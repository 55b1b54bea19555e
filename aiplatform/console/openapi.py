"""What drf-spectacular cannot see by itself: the predict protocols, the tokens, the one form of errors.

This module is named in SPECTACULAR_SETTINGS, so its authentication schemes register themselves
before the first document is written.
"""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from aiplatform.console.predict_paths import PREDICT_PATHS, TOKEN_SCHEME
from aiplatform.console.predict_schemas import PREDICT_SCHEMAS
from aiplatform.roles import apps_for

Endpoint = tuple[str, str, str, Any]
_ERROR = {
    "type": "object",
    "description": "Every error has this form; `code` is stable, `details` names what was met.",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "details": {"type": "object", "additionalProperties": True},
    },
}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A platform token, which the gateway checks."""

    target_class = "aiplatform.http.authentication.PlatformAuthentication"
    name = TOKEN_SCHEME

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return how a token travels."""
        text = "A token from `manage.py tokens create`, as `Authorization: Bearer <token>`."
        return {"type": "http", "scheme": "bearer", "description": text}


class ConsoleScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session of a member of staff."""

    target_class = "aiplatform.http.authentication.ConsoleAuthentication"
    name = "console"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return which cookie carries the session."""
        text = "Logged in to the console; writing needs the CSRF header."
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME, "description": text}


def documented_urls() -> list[URLPattern | URLResolver]:
    """Return the API of all apps that are loaded, also of those that another process serves."""
    apps = [app for app in apps_for(settings.ROLES) if find_spec(f"{app}.api.urls")]
    return [path("", include(f"{app}.api.urls")) for app in apps]


def keep_public_paths(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Leave out what only the apps ask of each other."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/")]


def add_predict_paths(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add the predict protocols, which are no Django views, and the error form of every operation."""
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update({"Error": _ERROR, **PREDICT_SCHEMAS})
    components["schemas"] = dict(sorted(schemas.items()))
    result["paths"] = {**copy.deepcopy(PREDICT_PATHS), **result["paths"]}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", _error_response())
    return result


def _error_response() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": "What went wrong", "content": content}
