"""URLs by role: each app brings `<app>/api/urls.py` with `internal/` and `api/` paths."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from aiplatform.health import live, ready
from aiplatform.metrics import metrics
from aiplatform.roles import CONSOLE, ROLES


def _urlpatterns() -> list[URLPattern | URLResolver]:
    patterns: list[URLPattern | URLResolver] = [
        path("health/live", live, name="health-live"),
        path("health/ready", ready, name="health-ready"),
        path("metrics", metrics, name="metrics"),
    ]
    apps = [role for role in ROLES if role in settings.ROLES and role != CONSOLE]
    patterns += [path("", include(f"{app}.api.urls")) for app in apps]
    if CONSOLE in settings.ROLES:
        patterns.append(path("", include("aiplatform.console.urls")))
    return patterns


urlpatterns = _urlpatterns()
