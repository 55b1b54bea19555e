"""Public URLs of the gateway; it has no internal ones, for nobody asks it anything."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from gateway.api.views import AuditListView, TokenListView, TokenView

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/gateway/tokens/", TokenListView.as_view(), name="gateway-tokens"),
    path("api/gateway/tokens/<int:pk>/", TokenView.as_view(), name="gateway-token"),
    path("api/gateway/audit/", AuditListView.as_view(), name="gateway-audit"),
]
