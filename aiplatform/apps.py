"""The kernel as a Django app: its commands, its checks, its logs."""

import contextlib

from django.apps import AppConfig
from django.conf import settings

from aiplatform.logs import configure_structlog


class KernelConfig(AppConfig):
    """Wire the kernel."""

    name = "aiplatform"
    label = "aiplatform"
    verbose_name = "Platform"

    def ready(self) -> None:
        """Register system checks, configure logs, and make the data folder."""
        from aiplatform import checks  # noqa: F401  (registers itself)
        from aiplatform.hot_metrics import MetricsFlusher
        from aiplatform.wiring import Lifespan, wiring

        configure_structlog()
        flusher = MetricsFlusher()
        wiring.add_lifespan(Lifespan(name="metrics", start=flusher.start, stop=flusher.stop))
        with contextlib.suppress(OSError):  # check aiplatform.E008 says what is wrong with it
            settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
