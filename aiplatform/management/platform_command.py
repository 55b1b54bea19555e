"""What the platform's commands have in common: they begin with the checks of the settings."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from aiplatform.checks import SETTINGS


class PlatformCommand(BaseCommand):
    """A command that does without Django's checks of the code.

    Those load every view and page, and take longer than many a command; `manage.py check` runs them before a change
    lands. What may be wrong where a command runs is in its settings.
    """

    requires_system_checks = [SETTINGS]
