"""Prepares the database of a platform under test as an operator would, by commands, but in one process.

Run as `python -m tests.e2e.prepare NAME` with the platform's environment: migrates, makes the administrator
(DJANGO_SUPERUSER_PASSWORD) and prints, last, a token with every scope as JSON. Each command as a process of its
own would spend its time on starting.
"""

from __future__ import annotations

import os
import sys


def main(name: str) -> None:
    """Run the commands."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    call_command("createsuperuser", interactive=False, username=name, email="admin@example.invalid", verbosity=0)
    call_command("tokens", "create", name, "--name", "e2e", "--scope", "admin", "--scope", "predict", "--json")


if __name__ == "__main__":
    main(*sys.argv[1:])
