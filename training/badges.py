"""States as coloured words."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from training.models import Run
from training.states import RunState

_KINDS = {
    RunState.QUEUED: "info",
    RunState.STARTING: "info",
    RunState.RUNNING: "info",
    RunState.STOPPING: "warn",
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "warn",
}


def state_badge(run: Run) -> SafeString:
    """Return a run's state as a badge."""
    kind = _KINDS[RunState(run.state)]
    return format_html('<span class="console-badge console-badge-{}">{}</span>', kind, run.get_state_display())


def share_done(run: Run) -> int:
    """Return how much of its epochs a run has done, percent."""
    p = run.progress
    if run.state == RunState.SUCCEEDED:
        return 100
    steps, epochs = p.get("steps") or 0, p.get("epochs") or 0
    if not steps or not epochs:
        return 0
    done = (max(1, int(p.get("epoch", 1))) - 1) * steps + int(p.get("step", 0))
    return min(100, round(100 * done / (steps * epochs)))
