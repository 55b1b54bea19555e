"""Training's own metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Gauge

RUNS = Gauge("aiplatform_training_runs", "Training runs by state", ["state"], multiprocess_mode="mostrecent")


def observe_runs(counts: Mapping[str, int]) -> None:
    """Set the number of runs in each state."""
    for state, count in counts.items():
        RUNS.labels(state).set(count)
