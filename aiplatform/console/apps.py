"""Django's admin, whose pages are loaded where pages are answered, and where they are checked."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class PagesConfig(SimpleAdminConfig):
    """The admin without its pages: they come with the URLs (`aiplatform.console.urls`).

    They are a third of what a process of the platform loads, and clock, queue, engine host and most commands answer
    none.
    """

    def ready(self) -> None:
        """Register Django's checks of the admin."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check all pages: they may not have been loaded by then."""
    admin.autodiscover()
    return check_admin_app(app_configs, **kwargs)
