"""The kernel as a Django app: its commands, its checks, its logs."""

from django.apps import AppConfig

from aiplatform.logs import configure_structlog


class KernelConfig(AppConfig):
    """Wire the kernel."""

    name = "aiplatform"
    label = "aiplatform"
    verbose_name = "Platform"

    def ready(self) -> None:
        """Register system checks and configure logs."""
        from aiplatform import checks  # noqa: F401  (registers itself)

        configure_structlog()
