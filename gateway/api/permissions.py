"""Tokens and the audit log are for administrators, reading included."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from aiplatform.errors import PermissionDeniedError
from aiplatform.identity import Identity, Scope


class IsAdmin(BasePermission):
    """Require the scope `admin` for every method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the identity may do this.

        Raises: PermissionDeniedError naming the scope.
        """
        if not isinstance(request.auth, Identity):
            return False
        if not request.auth.has_scope(Scope.ADMIN):
            raise PermissionDeniedError("this needs a token with the scope 'admin'", scope=Scope.ADMIN.value)
        return True
