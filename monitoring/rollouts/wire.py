"""What rollouts tell the kernel: jobs of the clock, a panel on the home page, the banner of a hold, checks."""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import register

from aiplatform.checks import SETTINGS
from aiplatform.roles import MONITORING
from aiplatform.wiring import Banner, Job, Panel, wiring

if TYPE_CHECKING:
    from django.db.models import QuerySet

HOUR_S = 3600.0


def wire_rollouts() -> None:
    """Announce rollouts to the kernel; called once, when the app is ready."""
    from monitoring.rollouts.checks import check_rollout_settings
    from monitoring.rollouts.panel import rollouts_panel

    register(check_rollout_settings, SETTINGS)
    wiring.add_banner(hold_banners)
    wiring.add_panel(
        Panel(name="rollouts", order=15, template="monitoring/rollouts/panel.html", context=rollouts_panel)
    )
    if MONITORING in settings.ROLES:
        soon_s = settings.ROLLOUT_INTERVAL_S
        wiring.add_job(Job(name="rollouts-advance", interval_s=soon_s, run=advance, waiting=rollouts_to_advance))
        wiring.add_job(Job(name="retrainings-advance", interval_s=soon_s, run=retrain, waiting=retrainings_to_advance))
        wiring.add_job(Job(name="rollouts-tidy", interval_s=HOUR_S, run=tidy))


def advance() -> None:
    """Look at all rollouts once."""
    from monitoring.rollouts.advance import advance_rollouts
    from monitoring.rollouts.world import real_world

    advance_rollouts(real_world(), owner=_owner())


def rollouts_to_advance() -> QuerySet[Any]:
    """Return the rollouts that `advance` looks at."""
    from monitoring.rollouts.selectors import list_active_rollouts

    return list_active_rollouts()


def retrain() -> None:
    """Look at all retrainings once."""
    from django.utils import timezone

    from aiplatform.services import inference_client, training_client
    from monitoring.actions.retraining import RetrainingWorld, advance_retrainings
    from monitoring.store.training_data import export_labelled

    advance_retrainings(
        RetrainingWorld(
            inference=inference_client(),
            training=training_client(),
            export_labelled=export_labelled,
            clock=timezone.now,
        )
    )


def retrainings_to_advance() -> QuerySet[Any]:
    """Return the retrainings that `retrain` looks at."""
    from monitoring.actions.retraining import list_unfinished_retrainings

    return list_unfinished_retrainings()


def tidy() -> None:
    """Delete what is long over."""
    from django.utils import timezone

    from monitoring.rollouts.retention import delete_old_rollouts

    delete_old_rollouts(now=timezone.now(), keep_days=settings.ROLLOUT_RETENTION_DAYS)


def hold_banners() -> list[Banner]:
    """Return a line for each hold that is in force."""
    from django.urls import reverse

    from monitoring.rollouts.holds import describe_hold, list_holds

    url = reverse("admin:monitoring-automation")
    return [Banner(text=_capital(describe_hold(hold)), url=url, tone="bad") for hold in list_holds()]


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


@cache
def _owner() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
