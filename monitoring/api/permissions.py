"""Who may give feedback (whoever predicts, and whoever watches), and who may take all of the store out."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.views import APIView

from aiplatform.errors import PermissionDeniedError
from aiplatform.http.authentication import HasScope
from aiplatform.identity import Identity, Scope


class MayGiveFeedback(HasScope):
    """Writing is open to `predict` and `monitor`; reading to `monitor`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the identity may do this."""
        is_write = request.method not in SAFE_METHODS
        if is_write and isinstance(request.auth, Identity) and request.auth.has_scope(Scope.MONITOR):
            return True
        return super().has_permission(request, view)


class MayExport(HasScope):
    """Only `admin`, although it reads: an export holds what many people asked."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the identity may do this; PermissionDeniedError names the missing scope."""
        if not isinstance(request.auth, Identity):
            return False
        if not request.auth.has_scope(Scope.ADMIN):
            raise PermissionDeniedError("this needs a token with the scope 'admin'", scope=Scope.ADMIN.value)
        return True
