"""`manage.py qcluster`: the queue's processes, in place of django-q2's command of this name."""

from __future__ import annotations

from typing import Any

from aiplatform.management.platform_command import PlatformCommand


class Command(PlatformCommand):
    """Run the queue until SIGTERM."""

    help = "Run the queue (django-q2) until SIGTERM; if one of its processes is killed, all end."

    def handle(self, *args: Any, **options: Any) -> None:
        """Start the queue; the process ends with it."""
        from aiplatform.queue_cluster import run_cluster  # django-q2 is there only where the roles need it

        run_cluster()
