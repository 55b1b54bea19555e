"""Training's own metrics for Prometheus; supervision sets them from the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import Gauge

_MODE: Final = "mostrecent"  # several clocks read the same rows

RUNS = Gauge("aiplatform_training_runs", "Training runs by state", ["state"], multiprocess_mode=_MODE)
LONGEST_WAIT = Gauge(
    "aiplatform_training_longest_wait_seconds", "How long the oldest queued run has waited", multiprocess_mode=_MODE
)
LONGEST_RUN = Gauge(
    "aiplatform_training_longest_run_seconds", "How long the oldest active run has been going", multiprocess_mode=_MODE
)
LAST_RUN = Gauge(
    "aiplatform_training_last_run_seconds", "How long the run that ended last took", multiprocess_mode=_MODE
)


def observe_runs(counts: Mapping[str, int], *, longest_wait_s: float, longest_run_s: float, last_run_s: float) -> None:
    """Set all gauges."""
    for state, count in counts.items():
        RUNS.labels(state).set(count)
    LONGEST_WAIT.set(longest_wait_s)
    LONGEST_RUN.set(longest_run_s)
    LAST_RUN.set(last_run_s)
