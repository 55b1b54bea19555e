"""`manage.py clock`: the periodic work of this process's roles."""

from __future__ import annotations

import signal
from typing import Any

from aiplatform.clock import Clock
from aiplatform.management.platform_command import PlatformCommand
from aiplatform.priority import step_back
from aiplatform.wiring import wiring

NICE = 10  # beside processes that answer requests; nothing that the clock does is waited for by the millisecond


class Command(PlatformCommand):
    """Run the jobs of this process's roles until SIGTERM."""

    help = "Run the periodic jobs of this process's roles (supervision, alerts, clean-up) until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the clock."""
        step_back(NICE)
        clock = Clock(wiring.jobs)
        signal.signal(signal.SIGTERM, clock.stop)
        signal.signal(signal.SIGINT, clock.stop)
        clock.run()
