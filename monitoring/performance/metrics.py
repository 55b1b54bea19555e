"""What Prometheus sees of performance."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

_VERSION = ["endpoint", "version"]

CHANGES = Counter("aiplatform_changes_detected_total", "Changes that a detector saw", [*_VERSION, "stream", "detector"])
ESTIMATED_ACCURACY = Gauge(
    "aiplatform_estimated_accuracy",
    "Accuracy as the calibrated confidences foretell it; NaN: nothing to say",
    _VERSION,
    multiprocess_mode="mostrecent",
)
