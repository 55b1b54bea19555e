"""Wires the gateway app into the process."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        """Register checks and wiring."""
