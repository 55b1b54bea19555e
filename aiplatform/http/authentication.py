"""How the REST APIs learn who is asking, the same way in one process and in many.

The gateway checks tokens. In its own process it leaves the identity on the request; in another
it signs it into the forwarded request. People in the console come with their session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from aiplatform.errors import PermissionDeniedError, PlatformError, error_from_payload
from aiplatform.http.views import signed_identity
from aiplatform.identity import Identity, Scope

if TYPE_CHECKING:  # rest_framework.views itself imports this module, through the settings
    from rest_framework.views import APIView


@dataclass(frozen=True)
class IdentityUser:
    """The identity in the form that Django REST framework expects as `request.user`."""

    identity: Identity

    is_authenticated = True
    is_active = True

    @property
    def username(self) -> str:
        """Return the caller's name."""
        return self.identity.username

    @property
    def pk(self) -> str:
        """Return the caller's name, which is unique."""
        return self.identity.username

    def __str__(self) -> str:
        return self.identity.username


class PlatformAuthentication(BaseAuthentication):
    """Take the identity that the gateway established."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return (user, identity), or None if the gateway said nothing.

        Raises: UnauthenticatedError if the request is signed wrongly.
        """
        identity = getattr(request._request, "platform_identity", None) or signed_identity(request._request)
        return (IdentityUser(identity), identity) if identity else None

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme to name in a 401."""
        return "Bearer"


class ConsoleAuthentication(SessionAuthentication):
    """Take the session of a member of staff, with CSRF protection."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return (user, identity) for a logged-in member of staff, else None."""
        found = super().authenticate(request)
        if found is None or not found[0].is_staff:
            return None
        return found[0], console_identity(found[0])


def console_identity(user: Any) -> Identity:
    """Return the identity under which a member of staff acts from the console."""
    scopes = frozenset({Scope.ADMIN}) if user.is_superuser else frozenset({Scope.MONITOR, Scope.PREDICT})
    return Identity(username=user.get_username(), scopes=scopes)


class HasScope(BasePermission):
    """Require the view's `required_scope`; reading is also open to the `monitor` scope."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the identity may do this.

        Raises: PermissionDeniedError naming the missing scope.
        """
        identity = request.auth
        if not isinstance(identity, Identity):
            return False
        scope: Scope = getattr(view, "required_scope", Scope.ADMIN)
        may_read = request.method in SAFE_METHODS and identity.has_scope(Scope.MONITOR)
        if not (may_read or identity.has_scope(scope)):
            raise PermissionDeniedError(f"this needs a token with the scope '{scope.value}'", scope=scope.value)
        return True


def handle_exception(error: Exception, context: dict[str, Any]) -> Any:
    """Answer every error of the REST APIs as `{"error", "code", "details"}`."""
    if isinstance(error, PlatformError):
        retry_after_s = getattr(error, "retry_after_s", None)
        headers = {"Retry-After": str(max(1, round(retry_after_s)))} if retry_after_s is not None else {}
        return Response(error.payload(), status=error.http_status, headers=headers)
    from rest_framework.views import exception_handler

    response = exception_handler(error, context)
    if response is not None:
        response.data = _plain_error(response.status_code, response.data)
    return response


def _plain_error(status: int, data: Any) -> dict[str, Any]:
    code = error_from_payload(status, None).code if status != 405 else "method_not_allowed"
    if isinstance(data, dict) and set(data) == {"detail"}:
        return {"error": str(data["detail"]), "code": code}
    fields = data if isinstance(data, dict) else {"non_field_errors": data}
    text = "; ".join(f"{name}: {' '.join(map(str, _as_list(problems)))}" for name, problems in fields.items())
    return {"error": text, "code": code, "details": fields}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
