"""What Prometheus sees of serving. What changes with each prediction is counted in memory first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from aiplatform.hot_metrics import HotCounter, HotEvents, HotGauge, HotHistogram

PREDICTIONS = Counter(
    "aiplatform_predictions_total", "Prediction requests by HTTP status", ["endpoint", "version", "status"]
)
LATENCY = Histogram(
    "aiplatform_prediction_latency_seconds",
    "From the arrival of a request to its outputs",
    ["endpoint", "version"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
BATCH_ROWS = Histogram(
    "aiplatform_batch_rows",
    "Rows that an engine was given at once",
    ["endpoint", "version"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
QUEUE_ROWS = Gauge(
    "aiplatform_queue_rows", "Rows that wait before an engine", ["endpoint", "version"], multiprocess_mode="livesum"
)
ENDPOINT_READY = Gauge(
    "aiplatform_endpoint_ready",
    "0 while a serving process does not serve the endpoint as desired; 1 also once it is no longer wanted",
    ["endpoint"],
    multiprocess_mode="livemin",
)
RECORDER_DROPPED = Counter(
    "aiplatform_recorder_dropped_total",
    "Predicted rows that were not recorded: queue_full, spool_full, unwritable, corrupt, unknown_format, refused",
    ["reason"],
)
SPOOL_BYTES = Gauge(
    "aiplatform_spool_bytes", "Recorded predictions on disk that wait for monitoring", multiprocess_mode="livesum"
)
STORED_ROWS = Counter("aiplatform_stored_rows_total", "Predicted rows written to the prediction store", ["endpoint"])
STORED_BYTES = Counter("aiplatform_stored_bytes_total", "Bytes written to the prediction store", ["endpoint"])
STORE_DROPPED = Counter(
    "aiplatform_store_dropped_total",
    "Sampled rows that did not reach the store: no_policy, spool_full, unwritable, corrupt, unknown_format, unfit",
    ["reason"],
)
STORE_SPOOL_BYTES = Gauge(
    "aiplatform_store_spool_bytes", "Whole predictions on disk that wait for the store", multiprocess_mode="livesum"
)
STORE_LAG = Gauge(
    "aiplatform_store_lag_seconds", "Age of the oldest prediction that waits for the store", multiprocess_mode="livemax"
)


class PrometheusMetrics:
    """Counts what the data plane tells, in Prometheus' default registry."""

    def count_prediction(self, *, endpoint: str, version: int, http_status: int, latency_s: float) -> None:
        """Count one request; failures have no latency worth comparing."""
        _answered.add(((endpoint, version, http_status), latency_s))

    def observe_batch(self, *, endpoint: str, version: int, rows: int) -> None:
        """Note the size of a batch."""
        _batch_rows(endpoint, version).observe(rows)

    def set_queue_depth(self, *, endpoint: str, version: int, rows: int) -> None:
        """Note the length of a queue."""
        _queue_rows(endpoint, version).set(rows)


def count_dropped(rows: int, reason: str) -> None:
    """Count rows that were not recorded."""
    RECORDER_DROPPED.labels(reason).inc(rows)


def count_stored(endpoint: str, rows: int, size_bytes: int) -> None:
    """Count what was written to the prediction store."""
    STORED_ROWS.labels(endpoint).inc(rows)
    STORED_BYTES.labels(endpoint).inc(size_bytes)


def count_not_stored(rows: int, reason: str) -> None:
    """Count sampled rows that did not reach the prediction store."""
    STORE_DROPPED.labels(reason).inc(rows)


def set_store_backlog(size_bytes: int, lag_s: float) -> None:
    """Say what waits for the prediction store."""
    STORE_SPOOL_BYTES.set(size_bytes)
    STORE_LAG.set(lag_s)


def set_endpoint_ready(endpoint: str, is_ready: bool) -> None:
    """Say whether this process serves an endpoint as desired."""
    _endpoint_ready(endpoint).set(1 if is_ready else 0)


def _count_answered(key: tuple[str, int, int], latencies_s: Sequence[float]) -> None:
    endpoint, version, http_status = key
    _predictions(endpoint, version, http_status).inc(len(latencies_s))
    if http_status < 400:
        _latency(endpoint, version).observe_many(latencies_s)


_answered = HotEvents(_count_answered)


@cache
def _predictions(endpoint: str, version: int, http_status: int) -> HotCounter:
    return HotCounter(PREDICTIONS.labels(endpoint, str(version), str(http_status)))


@cache
def _latency(endpoint: str, version: int) -> HotHistogram:
    return HotHistogram(LATENCY.labels(endpoint, str(version)))


@cache
def _batch_rows(endpoint: str, version: int) -> HotHistogram:
    return HotHistogram(BATCH_ROWS.labels(endpoint, str(version)))


@cache
def _queue_rows(endpoint: str, version: int) -> HotGauge:
    return HotGauge(QUEUE_ROWS.labels(endpoint, str(version)))


@cache
def _endpoint_ready(endpoint: str) -> Gauge:
    return ENDPOINT_READY.labels(endpoint)
