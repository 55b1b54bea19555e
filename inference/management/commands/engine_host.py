"""`manage.py engine_host`: holds the engines of this machine for its HTTP workers."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from inference.engine_host.host import EngineHost
from inference.replica import engine_host_path


class Command(BaseCommand):
    """Serve engines on the Unix socket in DATA_DIR until SIGTERM; `serve` starts this with ENGINE_HOST."""

    help = "Hold the engines of this machine for its HTTP workers until SIGTERM (serve starts it with ENGINE_HOST=1)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve."""
        host = EngineHost(engine_host_path())
        signal.signal(signal.SIGTERM, host.stop)
        signal.signal(signal.SIGINT, host.stop)
        host.open()
        host.serve()
