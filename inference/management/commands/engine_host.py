"""`manage.py engine_host`: holds the engines of this machine for its HTTP workers."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from aiplatform.management.platform_command import PlatformCommand
from inference.connections import tidy_connections
from inference.engine_host.host import EngineHost
from inference.holdings import INTERVAL_S, HoldingsReporter
from inference.reconcile.loop import ReconcileLoop
from inference.replica import engine_host_path, tell_holdings


class Command(PlatformCommand):
    """Serve engines on the Unix socket in DATA_DIR until SIGTERM; `serve` starts this with ENGINE_HOST."""

    help = "Hold the engines of this machine for its HTTP workers until SIGTERM (serve starts it with ENGINE_HOST=1)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve."""
        host = EngineHost(engine_host_path())
        signal.signal(signal.SIGTERM, host.stop)
        signal.signal(signal.SIGINT, host.stop)
        host.open()
        reporter = HoldingsReporter(
            replica=f"{socket.gethostname()}-{os.getpid()}-engines",
            list_loaded=lambda: (),
            tell=tidy_connections()(tell_holdings),
        )
        loop = ReconcileLoop(interval_s=INTERVAL_S, name="holdings")
        loop.start(reporter)
        host.serve()
        loop.stop(0.0)
        reporter.stop(timeout_s=1.0)
