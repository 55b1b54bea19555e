"""The inference app."""

from __future__ import annotations

from aiplatform.settings.base import env
from aiplatform.settings.stores import ARTIFACT_STORE

env.section("Inference")
MAX_BATCH_ROWS = env.integer("MAX_BATCH_ROWS", 64, "Most rows that an engine is given at once")
MAX_QUEUE_ROWS = env.integer("MAX_QUEUE_ROWS", 4096, "Most rows that wait before one engine; beyond: 503")
MAX_QUEUE_BYTES = env.integer(
    "MAX_QUEUE_BYTES", 256 * 1024 * 1024, "Most bytes of inputs that wait before one engine; beyond: 503"
)
MAX_QUEUE_DELAY_MS = env.number("MAX_QUEUE_DELAY_MS", 0.0, "How long a batch that is not full waits for more rows")
MAX_LOOP_LAG_MS = env.number(
    "MAX_LOOP_LAG_MS",
    1000.0,
    "How late a worker's event loop may be before predictions are refused unread, 503; 0: any",
)
PREDICT_DEADLINE_S = env.number(
    "PREDICT_DEADLINE_S", 10.0, "Longest wait for a prediction if the caller names none; beyond: 504"
)
PREDICT_MAX_DEADLINE_S = env.number("PREDICT_MAX_DEADLINE_S", 120.0, "Longest wait that a caller may ask for")
INLINE_ENGINE_MS = env.number(
    "INLINE_ENGINE_MS",
    4.0,
    "How long an engine call may hold the event loop; engines that need more run in threads; 0: all do",
)
ENGINE_SLOTS = env.integer(
    "ENGINE_SLOTS", 0, "Calls of engines in threads at once in a process; 0: its share of the cores, at least 1"
)
ENGINE_HOST = env.flag(
    "ENGINE_HOST",
    False,
    "One process holds the engines, and the HTTP workers of the machine share it: for GPUs and for large models",
)
MEMORY_RESERVE_BYTES = env.integer(
    "MEMORY_RESERVE_BYTES",
    256 * 1024 * 1024,
    "Memory that stays free when a version is loaded; one that would take it is refused with a reason",
)
ENGINE_THREADS = env.integer(
    "ENGINE_THREADS", 0, "Threads that an engine uses for one batch; 0: at most its worker's share of the cores"
)
ENGINE = env.text(
    "ENGINE",
    "auto",
    "Engine of endpoints that pin none: auto (the proven fastest), native (the artifact's own), or one by name",
)
COMPILE_ENGINES = env.flag("COMPILE_ENGINES", True, "Compile versions for serving by themselves, in the background")
COMPILE_TIMEOUT_S = env.number("COMPILE_TIMEOUT_S", 900.0, "Longest time of compiling one version, all engines")
ENGINE_STORE = env.text(
    "ENGINE_STORE",
    f"{ARTIFACT_STORE.rstrip('/')}/engines",
    "Where compiled engines are kept; DATA_DIR/engines where it cannot be written",
    shown="ARTIFACT_STORE/engines",
)
MAX_IMAGE_PIXELS = env.integer("MAX_IMAGE_PIXELS", 16_000_000, "Largest uploaded image, in pixels")
RECONCILE_INTERVAL_S = env.number(
    "RECONCILE_INTERVAL_S", 1.0, "How often a serving process compares what it serves with what is wanted"
)
ROUTING_KEY_HEADER = env.text(
    "ROUTING_KEY_HEADER",
    "X-Routing-Key",
    "Requests with the same value here get the same version of a split endpoint; without: by user. Empty: by user only",
)
SHADOW_SHARE = env.number(
    "SHADOW_SHARE", 0.1, "Greatest share of one core's time that shadow copies and replays take in a serving process"
)
SHADOW_QUEUE_REQUESTS = env.integer(
    "SHADOW_QUEUE_REQUESTS", 64, "Copies of live requests that wait for a shadow; beyond: dropped and counted"
)
SHADOW_QUEUE_BYTES = env.integer(
    "SHADOW_QUEUE_BYTES", 32 * 1024 * 1024, "Most memory for copies that wait for a shadow; beyond: dropped and counted"
)
REPLAY_MAX_BYTES = env.integer(
    "REPLAY_MAX_BYTES", 8 * 1024 * 1024, "Most bytes of recorded requests in one replay, packed"
)
RECORD_PREDICTIONS = env.flag(
    "RECORD_PREDICTIONS", True, "Record predictions for monitoring; without: no drift, no accuracy, no windows"
)
COUNT_REQUESTS = env.flag(
    "COUNT_REQUESTS", True, "Count predictions and requests for Prometheus; switched off only to measure its cost"
)
PREDICT_LANE = env.flag(
    "PREDICT_LANE",
    True,
    "Read predictions of the usual form on a short way of our own; without, gunicorn reads every request",
)
RECORDER_FLUSH_INTERVAL_S = env.number(
    "RECORDER_FLUSH_INTERVAL_S",
    1.0,
    "Predictions reach the disk at least so often; a killed process loses at most these",
)
RECORDER_BATCH_ROWS = env.integer("RECORDER_BATCH_ROWS", 10_000, "Most rows in one batch of recorded predictions")
RECORDER_QUEUE_BYTES = env.integer(
    "RECORDER_QUEUE_BYTES",
    64 * 1024 * 1024,
    "Most memory for predictions that wait to be recorded; beyond: dropped and counted",
)
WATCHED_ROWS_PER_S = env.integer(
    "WATCHED_ROWS_PER_S",
    1000,
    "Rows a second, of each version in each serving process, whose features are watched: of more an even sample; 0: all",
)
SPOOL_MAX_BYTES = env.integer(
    "SPOOL_MAX_BYTES",
    512 * 1024 * 1024,
    "Most disk for recorded predictions while monitoring is away, per process; beyond: the oldest go",
)
SHIPPING_NICE = env.integer(
    "SHIPPING_NICE",
    19,
    "Nice value (0 to 19) of the clock's thread that ships recorded predictions; 0: as urgent as serving",
)
STORE_SPOOL_MAX_BYTES = env.integer(
    "STORE_SPOOL_MAX_BYTES",
    1024 * 1024 * 1024,
    "Most disk for whole predictions while the prediction store is away, per process; beyond: the oldest go",
)
STORE_BATCH_BYTES = env.integer(
    "STORE_BATCH_BYTES", 32 * 1024 * 1024, "So many bytes of whole predictions go to the prediction store at once"
)
STORE_INTERVAL_S = env.number(
    "STORE_INTERVAL_S", 60.0, "Whole predictions reach the prediction store at least so often, if it is there"
)
STORE_POLICY_REFRESH_S = env.number(
    "STORE_POLICY_REFRESH_S", 5.0, "How often a serving process asks what it may keep of predictions"
)
