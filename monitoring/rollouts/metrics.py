"""What Prometheus sees of rollouts."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

STARTED = Counter("aiplatform_rollouts_started_total", "Rollouts that were started")
ENDED = Counter("aiplatform_rollouts_ended_total", "Rollouts by how they ended", ["outcome"])
STEPS = Counter("aiplatform_rollout_steps_total", "Steps of rollouts by their end", ["step", "outcome"])
ROLLBACK_SECONDS = Histogram(
    "aiplatform_rollout_rollback_seconds",
    "From the bad verdict until every serving process has the traffic before",
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300),
)
