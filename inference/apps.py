"""Wires the inference app into the process."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        """Register checks and wiring."""
