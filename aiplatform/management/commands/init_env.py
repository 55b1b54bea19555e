"""`manage.py init_env`: secrets for a new checkout."""

from __future__ import annotations

import os
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Write `.env` with random secrets, unless it is there."""

    help = "Write .env with random secrets for this checkout, unless there is one."
    requires_system_checks: list[str] = []  # what they would miss is what this command makes

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the file readable by its owner alone."""
        path = settings.BASE_DIR / ".env"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            self.stdout.write(f"{path} is there already; nothing changed")
            return
        with os.fdopen(descriptor, "w") as file:
            file.write(
                "# Secrets of this checkout, made by 'manage.py init_env'. docs/settings.md lists all variables.\n"
            )
            file.write(f"SECRET_KEY={secrets.token_urlsafe(48)}\n")
            file.write(f"INTERNAL_SECRETS={secrets.token_urlsafe(48)}\n")
            file.write(f"PREDICTION_HASH_SECRETS={secrets.token_urlsafe(48)}\n")
            file.write("LOG_FORMAT=console\n")
        self.stdout.write(f"wrote {path}")
