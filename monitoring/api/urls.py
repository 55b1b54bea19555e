"""Internal and public URLs of monitoring."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("monitoring.api.alert_urls")),
]
