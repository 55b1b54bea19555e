"""Training on the console's home page: what runs, what waits, what ended last."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from training import selectors
from training.badges import share_done, state_badge
from training.cli.texts import metrics_text
from training.models import Run
from training.resources.reporting import waiting_reasons
from training.states import ACTIVE_STATES, RunState

_ROWS = 6


def panel_context() -> dict[str, Any]:
    """Return the panel's rows and counts."""
    counts = selectors.count_runs_by_state()
    reasons = waiting_reasons() if counts[RunState.QUEUED] else {}
    return {
        "rows": [_row(run, reasons.get(run.pk, "")) for run in selectors.list_recent_runs(_ROWS)],
        "active": sum(counts[state] for state in ACTIVE_STATES),
        "waiting": counts[RunState.QUEUED],
    }


def _row(run: Run, waits: str) -> dict[str, Any]:
    return {
        "run": run,
        "url": reverse("admin:training_run_change", args=[run.pk]),
        "badge": state_badge(run),
        "share": share_done(run),
        "metrics": metrics_text(run.progress.get("metrics") or {}),
        "waits": waits,
    }
