"""What Prometheus sees of the statistics. Gauges are set by the clock; Prometheus takes the newest."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

_VERSION = ["endpoint", "version"]

INGESTED_PREDICTIONS = Counter("aiplatform_ingested_predictions_total", "Predictions counted in windows", _VERSION)
DUPLICATE_BATCHES = Counter("aiplatform_ingested_duplicate_batches_total", "Batches that had been counted before")
EXPIRED_PREDICTIONS = Counter(
    "aiplatform_expired_predictions_total", "Predictions that arrived after WINDOW_RETENTION_DAYS and were not counted"
)
FEEDBACK_ITEMS = Counter("aiplatform_feedback_items_total", "Feedback received", ["outcome"])

DRIFT_SCORE = Gauge(
    "aiplatform_drift_score",
    "Population stability index of a feature against the artifact's profile; NaN: not enough data",
    [*_VERSION, "feature"],
    multiprocess_mode="mostrecent",
)
PREDICTION_DRIFT_SCORE = Gauge(
    "aiplatform_prediction_drift_score",
    "Population stability index of the predictions; NaN: not enough data",
    _VERSION,
    multiprocess_mode="mostrecent",
)
EMBEDDING_DRIFT_SCORE = Gauge(
    "aiplatform_embedding_drift_score",
    "Population stability index of the embedding's worst dimension; NaN: not enough data",
    _VERSION,
    multiprocess_mode="mostrecent",
)
ACCURACY = Gauge(
    "aiplatform_accuracy",
    "Share of labelled predictions that were right; NaN: no labels",
    _VERSION,
    multiprocess_mode="mostrecent",
)
LABEL_COVERAGE = Gauge(
    "aiplatform_label_coverage", "Share of predictions whose truth is known", _VERSION, multiprocess_mode="mostrecent"
)
MEAN_CONFIDENCE = Gauge(
    "aiplatform_mean_confidence", "Mean confidence of the predicted label", _VERSION, multiprocess_mode="mostrecent"
)

STORE_UNREADABLE = Counter("aiplatform_store_unreadable_files_total", "Damaged files of the prediction store, as read")
STORE_DELETED_ROWS = Counter("aiplatform_store_deleted_rows_total", "Stored rows removed by an order to delete")
STORE_EXPIRED_FILES = Counter("aiplatform_store_expired_files_total", "Files of the prediction store past retention")
STORE_COMPACTED_FILES = Counter(
    "aiplatform_store_compacted_files_total", "Files of the prediction store joined into larger ones"
)
