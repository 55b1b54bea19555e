"""Wires the training app into the process."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        """Register checks and wiring."""
