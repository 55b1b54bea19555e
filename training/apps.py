"""Wires the training app into the process."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings

from aiplatform.roles import TRAINING
from aiplatform.wiring import Job, Panel, wiring

TIDY_INTERVAL_S = 60.0


class TrainingConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        """Register checks, the supervision of runs, and the panel of the home page."""
        from training import checks  # noqa: F401  (registers itself)

        if TRAINING in settings.ROLES:
            interval_s = settings.TRAINING_SUPERVISE_S
            wiring.add_job(Job(name="training.supervise", interval_s=interval_s, run=_supervise, on_stop=_release))
            wiring.add_job(Job(name="training.tidy_trials", interval_s=TIDY_INTERVAL_S, run=_tidy_trials))
        wiring.add_panel(Panel(name="training", order=20, template="training/panel.html", context=_panel))


def _supervise() -> None:
    from training.supervision import supervisor

    supervisor().look()


def _tidy_trials() -> None:
    from training.searching.tidying import remove_spent_checkpoints

    remove_spent_checkpoints()


def _release() -> None:
    from training.supervision import release_local_trainers

    release_local_trainers()


def _panel() -> dict[str, Any]:
    from training.panel import panel_context

    return panel_context()
