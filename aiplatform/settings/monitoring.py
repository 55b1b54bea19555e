"""The monitoring app."""

from __future__ import annotations

from aiplatform.settings.base import env
from aiplatform.settings.stores import ARTIFACT_STORE

env.section("Monitoring")
ALERT_INTERVAL_S = env.number("ALERT_INTERVAL_S", 10.0, "Seconds between two evaluations of the alert rules")
NOTIFICATION_INTERVAL_S = env.number(
    "NOTIFICATION_INTERVAL_S", 2.0, "Seconds between two looks for messages to send and actions to take"
)
NOTIFICATION_ATTEMPTS = env.integer(
    "NOTIFICATION_ATTEMPTS", 12, "Times that a message is tried, over about 50 minutes, before it is given up"
)
ALERT_RETENTION_DAYS = env.number("ALERT_RETENTION_DAYS", 90.0, "Days that resolved alerts are kept")
ROLLOUT_INTERVAL_S = env.number(
    "ROLLOUT_INTERVAL_S", 2.0, "Seconds between two looks at the rollouts; a bad challenger goes back this fast"
)
ROLLOUT_VALIDATION_MARGIN = env.number(
    "ROLLOUT_VALIDATION_MARGIN", 0.02, "A challenger's validation metric may be worse than the champion's by this much"
)
ROLLOUT_REPLAY_REQUESTS = env.integer(
    "ROLLOUT_REPLAY_REQUESTS", 200, "Recorded requests that run through champion and challenger; 0: no replay"
)
ROLLOUT_SHADOW_S = env.number(
    "ROLLOUT_SHADOW_S", 600.0, "Seconds for which a challenger gets copies of live requests; 0: no shadow"
)
ROLLOUT_SHADOW_REQUESTS = env.integer(
    "ROLLOUT_SHADOW_REQUESTS", 100, "Least copies that a challenger must have answered in its shadow"
)
ROLLOUT_MIN_AGREEMENT = env.number(
    "ROLLOUT_MIN_AGREEMENT", 0.8, "Least share of equal answers in replay and shadow where no labels say who is right"
)
ROLLOUT_MAX_LATENCY_RATIO = env.number(
    "ROLLOUT_MAX_LATENCY_RATIO", 2.0, "Greatest p95 latency of a challenger in the replay, in times the champion's"
)
ROLLOUT_STEPS = env.items(
    "ROLLOUT_STEPS", ["1", "5", "25", "50", "100"], "Percents of the requests that a canary gets, one after the other"
)
ROLLOUT_STEP_S = env.number("ROLLOUT_STEP_S", 300.0, "Least seconds of each canary step")
ROLLOUT_MIN_SAMPLES = env.integer(
    "ROLLOUT_MIN_SAMPLES", 100, "Least requests that a challenger must have got in a canary step"
)
ROLLOUT_MIN_LABELS = env.integer(
    "ROLLOUT_MIN_LABELS", 30, "Least labelled answers of each version before a gate speaks of accuracy"
)
ROLLOUT_ERROR_MARGIN = env.number(
    "ROLLOUT_ERROR_MARGIN", 0.01, "A challenger's share of errors may be greater than the champion's by this much"
)
ROLLOUT_LATENCY_MARGIN = env.number(
    "ROLLOUT_LATENCY_MARGIN", 0.1, "Its share of answers slower than the champion's p95 may be greater by this much"
)
ROLLOUT_ACCURACY_MARGIN = env.number(
    "ROLLOUT_ACCURACY_MARGIN", 0.02, "Its share of wrong answers may be greater than the champion's by this much"
)
ROLLOUT_ALPHA = env.number(
    "ROLLOUT_ALPHA", 0.05, "Probability that a canary, looked at all the time, turns an equal challenger away"
)
ROLLOUT_LOADING_TIMEOUT_S = env.number(
    "ROLLOUT_LOADING_TIMEOUT_S", 600.0, "A challenger that no serving process has loaded by then has failed"
)
ROLLOUT_ENGINE_PATIENCE_S = env.number(
    "ROLLOUT_ENGINE_PATIENCE_S",
    120.0,
    "Longest wait until a challenger runs on the champion's engine, before it is timed",
)
RETRAIN_WINDOW_DAYS = env.number(
    "RETRAIN_WINDOW_DAYS",
    30.0,
    "A retraining that an alert orders learns from the labelled predictions of so many days",
)
RETRAIN_MIN_LABELS = env.integer(
    "RETRAIN_MIN_LABELS", 50, "With fewer labelled predictions than these there is no retraining"
)
ROLLOUT_RETENTION_DAYS = env.number(
    "ROLLOUT_RETENTION_DAYS", 365.0, "Days that rollouts that are over, and lifted holds, are kept"
)
WINDOW_RETENTION_DAYS = env.number(
    "WINDOW_RETENTION_DAYS", 90.0, "Days that windows of a day are kept; older predictions are not counted"
)
WINDOW_HOUR_RETENTION_DAYS = env.number("WINDOW_HOUR_RETENTION_DAYS", 30.0, "Days that windows of an hour are kept")
WINDOW_MINUTE_RETENTION_DAYS = env.number(
    "WINDOW_MINUTE_RETENTION_DAYS", 7.0, "Days that windows of a minute are kept; before, charts have hours or days"
)
WINDOW_ROLLUP_DELAY_S = env.number(
    "WINDOW_ROLLUP_DELAY_S", 300.0, "Seconds after its end that an hour (or day) takes in its minutes (or hours)"
)
PREDICTION_RETENTION_DAYS = env.number(
    "PREDICTION_RETENTION_DAYS", 14.0, "Days that single predictions and feedback are kept; a later label finds nothing"
)
PREDICTION_RETENTION_ROWS = env.integer(
    "PREDICTION_RETENTION_ROWS", 5_000_000, "Single predictions kept at most; the oldest go first"
)
STORE_SAMPLE_SHARE = env.number(
    "STORE_SAMPLE_SHARE", 0.01, "Share (0 to 1) of predictions kept whole, for endpoints without a policy of their own"
)
STORE_RETENTION_DAYS = env.number("STORE_RETENTION_DAYS", 30.0, "Days that these are kept in the prediction store")
STORE_INPUTS = env.text("STORE_INPUTS", "full", "What these keep of inputs: full, hash (a pseudonym) or none")
STORE_MAX_ROW_BYTES = env.integer(
    "STORE_MAX_ROW_BYTES", 1024 * 1024, "Inputs of a row that are larger are kept as a pseudonym only"
)
STORE_COMPACT_AFTER_S = env.number(
    "STORE_COMPACT_AFTER_S", 3600.0, "Seconds after the end of a day at which its files are joined into larger ones"
)
PENDING_FEEDBACK_HOURS = env.number(
    "PENDING_FEEDBACK_HOURS", 24.0, "Hours that feedback waits for a prediction that has not arrived"
)
MAX_WATCHED_FEATURES = env.integer(
    "MAX_WATCHED_FEATURES", 256, "Features of a model that are watched; further ones are left out"
)
DRIFT_PERIOD_S = env.number(
    "DRIFT_PERIOD_S", 900.0, "Seconds of traffic compared with the baseline on the home page and in /metrics"
)
DRIFT_PSI_THRESHOLD = env.number(
    "DRIFT_PSI_THRESHOLD", 0.1, "Population stability index from which a feature has drifted"
)
DRIFT_KS_THRESHOLD = env.number(
    "DRIFT_KS_THRESHOLD", 0.05, "Kolmogorov-Smirnov distance from which a number has drifted (small baselines)"
)
DRIFT_WASSERSTEIN_THRESHOLD = env.number(
    "DRIFT_WASSERSTEIN_THRESHOLD",
    0.1,
    "Wasserstein distance, in the baseline's standard deviations, from which a number has drifted (large baselines)",
)
DRIFT_JS_THRESHOLD = env.number(
    "DRIFT_JS_THRESHOLD", 0.05, "Jensen-Shannon distance from which a category has drifted (large baselines)"
)
DRIFT_SMALL_BASELINE = env.integer(
    "DRIFT_SMALL_BASELINE", 1000, "Rows up to which a baseline is small: judged by KS and chi-square"
)
DRIFT_SIGNIFICANCE = env.number(
    "DRIFT_SIGNIFICANCE", 0.001, "False-discovery level of one comparison, over all its features (Benjamini-Hochberg)"
)
DRIFT_DATASET_SHARE = env.number(
    "DRIFT_DATASET_SHARE", 0.5, "Share of drifted features from which the data set has drifted"
)
DRIFT_MIN_SAMPLES = env.integer("DRIFT_MIN_SAMPLES", 100, "Predictions below which drift is 'not enough data'")
ACCURACY_MIN_LABELS = env.integer("ACCURACY_MIN_LABELS", 30, "Labels below which accuracy is 'not enough data'")
ACCURACY_MAX_DROP = env.number(
    "ACCURACY_MAX_DROP", 0.05, "How far accuracy may lie below the artifact's own before a report says so"
)
CHANGE_LABEL_DELAY_S = env.number(
    "CHANGE_LABEL_DELAY_S", 600.0, "How long the detectors of accuracy wait for a minute's labels; later ones they miss"
)
REPORT_MAX_ERROR_RATE = env.number("REPORT_MAX_ERROR_RATE", 0.01, "Share of server errors above which a report says so")
REPORT_STORE = env.text(
    "REPORT_STORE",
    f"{ARTIFACT_STORE.rstrip('/')}/reports",
    "Where scheduled reports are kept: a folder, s3:// or gs://",
    shown="ARTIFACT_STORE/reports",
)
REPORT_RETENTION_DAYS = env.number("REPORT_RETENTION_DAYS", 400.0, "Days that stored reports are kept")
REPORT_DELAY_S = env.number(
    "REPORT_DELAY_S", 300.0, "How long after a period's end its scheduled report is made: predictions arrive late"
)
