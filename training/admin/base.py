"""What training's admin pages share: they show, and change only by buttons that ask first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

Action = Callable[..., HttpResponse]


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """An admin of rows that no form may write."""

    list_per_page = 50
    actions: Sequence[str] | None = None
    list_fullwidth = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows come from orders, not from forms."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nothing is deleted here."""
        return False

    def require_view(self, request: HttpRequest) -> None:
        """Raise PermissionDenied unless the person may look."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def require_change(self, request: HttpRequest) -> None:
        """Raise PermissionDenied unless the person may press buttons."""
        if not self.has_change_permission(request):
            raise PermissionDenied

    def guarded(self, view: Action) -> Any:
        """Return the view for those who may press buttons."""

        def check_and_view(request: HttpRequest, **arguments: Any) -> HttpResponse:
            self.require_change(request)
            return view(request, **arguments)

        return self.admin_site.admin_view(check_and_view)
