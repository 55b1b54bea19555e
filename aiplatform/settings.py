"""All settings, read top to bottom; the only place that reads the environment.

docs/settings.md lists every variable, written from the reads below.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Any

import dj_database_url

from aiplatform.environment import Environment
from aiplatform.logs import logging_config
from aiplatform.roles import CONSOLE, GATEWAY, TRAINING, apps_for, parse_roles, roles_of_process

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment(BASE_DIR / ".env")

# --- What this process is -------------------------------------------------------------------------
env.section("Process")
CONFIGURED_ROLES = parse_roles(
    env.text("AIPLATFORM_ROLES", "all", "all, or some of gateway, training, inference, monitoring, console")
)
ROLES = roles_of_process(CONFIGURED_ROLES, sys.argv)
DEBUG = env.flag("AIPLATFORM_DEBUG", False, "Development mode: error pages, and secrets may be missing")
DATA_DIR = Path(
    env.text("DATA_DIR", str(BASE_DIR / "var"), "Folder for the database, runs, spool and caches", shown="var")
)
BIND = env.text("BIND", "127.0.0.1:8000", "Address and port that `manage.py serve` listens on")
GRPC_BIND = env.text(
    "GRPC_BIND",
    "",
    "Address and port of the gRPC protocols, for example 127.0.0.1:8500 (TF Serving's port); empty: no gRPC",
)
GRPC_TLS_CERT = env.text(
    "GRPC_TLS_CERT", "", "PEM file with the certificate (and its chain) for TLS on GRPC_BIND; empty: no TLS"
)
GRPC_TLS_KEY = env.text("GRPC_TLS_KEY", "", "PEM file with the key of GRPC_TLS_CERT")
WEB_WORKERS = env.integer("WEB_WORKERS", 1, "HTTP worker processes; each loads its own copy of the models")
GRACEFUL_STOP_S = env.number("GRACEFUL_STOP_S", 8.0, "Seconds that `serve` gives its children after SIGTERM")
PUBLIC_URL = env.text(
    "PUBLIC_URL", f"http://{BIND}", "Address under which people reach the gateway", shown="http://BIND"
)
CONSOLE_URL = env.text("CONSOLE_URL", PUBLIC_URL, "Address under which people reach the console", shown="PUBLIC_URL")

# --- Secrets --------------------------------------------------------------------------------------
env.section("Secrets")
_secret_key = env.text("SECRET_KEY", "development-only-key" if DEBUG else "", "Django's secret key", shown="none")
IS_SECRET_KEY_SET = bool(_secret_key)
SECRET_KEY = _secret_key or secrets.token_hex(32)  # never a known one: a check refuses to go on without
INTERNAL_SECRETS = env.items(
    "INTERNAL_SECRETS",
    ["development-only-secret"] if DEBUG else [],
    "Secrets for requests between apps: the first signs, all verify",
    shown="none",
)
PREDICTION_HASH_SECRETS = env.items(
    "PREDICTION_HASH_SECRETS",
    ["development-only-hash-secret"] if DEBUG else [],
    "Secrets behind the pseudonyms in the prediction store: the first makes them, all find them; none: no subjects, "
    "no hashed features",
    shown="none",
)

# --- The other services ---------------------------------------------------------------------------
env.section("Services")
SERVICE_URLS = {
    "training": env.text(
        "TRAINING_URL", "", "Address of the training service, or several with commas; empty: in this process"
    ),
    "inference": env.text(
        "INFERENCE_URL", "", "Address of the inference service, or several with commas; empty: in this process"
    ),
    "monitoring": env.text(
        "MONITORING_URL", "", "Address of the monitoring service, or several with commas; empty: in this process"
    ),
}
INFERENCE_GRPC_URL = env.text(
    "INFERENCE_GRPC_URL",
    "",
    "host:port of the inference service's gRPC, or several with commas; for a gateway without inference",
)
INTERNAL_TIMEOUT_S = env.number("INTERNAL_TIMEOUT_S", 10.0, "Deadline of a call between apps, seconds")

# --- Stores ---------------------------------------------------------------------------------------
env.section("Stores")
DATABASE_URL = env.text(
    "DATABASE_URL", f"sqlite:///{DATA_DIR}/aiplatform.sqlite3", "SQLite or PostgreSQL", shown="sqlite in DATA_DIR"
)
REDIS_URL = env.text("REDIS_URL", "", "Redis for the shared cache; empty: memory of each process")
ARTIFACT_STORE = env.text(
    "ARTIFACT_STORE",
    f"file://{DATA_DIR}/artifacts",
    "Where models are kept: file://, s3:// or gs://",
    shown="DATA_DIR/artifacts",
)
ARTIFACT_CACHE_DIR = DATA_DIR / "artifact-cache"


def _databases(url: str) -> dict[str, dict[str, Any]]:
    database: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=0))
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",  # a write lock taken late cannot wait, it fails
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        # A connection that is kept (by the clock, by loops) must not hang for long on a server that is gone.
        patience = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
        database["OPTIONS"] = {**patience, **database.get("OPTIONS", {})}
        database["CONN_HEALTH_CHECKS"] = True
    return {"default": database}


DATABASES = _databases(DATABASE_URL)
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- HTTP -----------------------------------------------------------------------------------------
env.section("HTTP")
ALLOWED_HOSTS = [
    *env.items("ALLOWED_HOSTS", ["localhost", "127.0.0.1"], "Host names that this process answers to"),
    "in-process",
]
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS", [], "Origins whose forms are accepted, behind a TLS proxy")
SECURE_COOKIES = env.flag("SECURE_COOKIES", False, "Send cookies over HTTPS only")
MAX_BODY_BYTES = env.integer("MAX_BODY_BYTES", 64 * 1024 * 1024, "Largest request body")
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"

IS_CONSOLE = CONSOLE in ROLES
INSTALLED_APPS = [
    "aiplatform",
    *(["unfold", "unfold.contrib.filters"] if IS_CONSOLE else []),
    *(["django.contrib.admin"] if IS_CONSOLE else []),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    *(["drf_spectacular_sidecar"] if IS_CONSOLE else []),
    "django_prometheus",
    *(["knox"] if {GATEWAY, CONSOLE} & ROLES else []),
    *(["django_q"] if {TRAINING, CONSOLE} & ROLES else []),
    *apps_for(ROLES),
]
MIDDLEWARE = [
    "aiplatform.http.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    *(["gateway.middleware.GatewayMiddleware"] if GATEWAY in ROLES else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "aiplatform.urls"
WSGI_APPLICATION = "aiplatform.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "aiplatform" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aiplatform.console.banners.banners",
            ]
        },
    }
]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # the files come from the installed packages; no collectstatic needed
WHITENOISE_AUTOREFRESH = False
LOGIN_URL = "/admin/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "aiplatform.console.formats"  # times on pages name their zone

# --- REST API -------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "aiplatform.http.authentication.PlatformAuthentication",
        "aiplatform.http.authentication.ConsoleAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["aiplatform.http.authentication.HasScope"],
    "DEFAULT_PAGINATION_CLASS": "aiplatform.http.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "aiplatform.http.authentication.handle_exception",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "aiplatform",
    "DESCRIPTION": "Train, keep, serve, watch and guard models: the control plane.",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    # Some hundred operations: open the group that one looks for, not a page of all.
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "docExpansion": "none",
        "filter": True,
        "defaultModelsExpandDepth": -1,
    },
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/[a-z]+",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["aiplatform.console.openapi.keep_public_paths"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "aiplatform.console.openapi.add_predict_paths",
    ],
    # Fields of the same name with choices of their own get a name each.
    "ENUM_NAME_OVERRIDES": {
        "AlertStateEnum": "monitoring.alerts.vocabulary.AlertState",
        "AlertActionStateEnum": "monitoring.alerts.vocabulary.ActionState",
        "AlertTargetStateEnum": "monitoring.alerts.vocabulary.TargetState",
        "NotificationStateEnum": "monitoring.alerts.vocabulary.NotificationState",
        "VerdictEnum": "monitoring.alerts.vocabulary.Verdict",
        "AlertActionEnum": "monitoring.alerts.vocabulary.ActionKind",
        "AlertEventKindEnum": "monitoring.alerts.vocabulary.EventKind",
        "DeletionStateEnum": "monitoring.models.PredictionDeletion.State",
        "NotificationKindEnum": "monitoring.alerts.vocabulary.NotificationKind",
        "AlertRuleKindEnum": "monitoring.alerts.vocabulary.RuleKind",
        "AlertChannelKindEnum": "monitoring.alerts.vocabulary.ChannelKind",
        "AlertPolicyEnum": "monitoring.alerts.vocabulary.NoDataPolicy",
        "RolloutStateEnum": "monitoring.rollouts.vocabulary.RolloutState",
        "RolloutStepStateEnum": "monitoring.rollouts.vocabulary.StepState",
        "RolloutStepKindEnum": "monitoring.rollouts.vocabulary.StepKind",
        "RolloutVerdictEnum": "monitoring.rollouts.vocabulary.Verdict",
        "RetrainingStateEnum": "monitoring.actions.vocabulary.RetrainingState",
    },
    # Where the API is, if not where its documentation is.
    "SERVERS": [{"url": PUBLIC_URL}] if PUBLIC_URL != CONSOLE_URL else [],
}

# --- Logs and metrics -----------------------------------------------------------------------------
env.section("Logs and metrics")
LOG_FORMAT = env.text("LOG_FORMAT", "console" if DEBUG else "json", "json (one object a line) or console", shown="json")
LOG_LEVEL = env.text("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")
LOGGING = logging_config(form=LOG_FORMAT, level=LOG_LEVEL)
PROMETHEUS_EXPORT_MIGRATIONS = False

# --- Training -------------------------------------------------------------------------------------
env.section("Training")
TRAINING_DIR = DATA_DIR / "runs"
DATA_CACHE_DIR = DATA_DIR / "data-cache"
DATA_CACHE_BYTES = env.integer(
    "DATA_CACHE_BYTES", 20 * 1024**3, "Downloaded training data kept for later runs, in DATA_DIR/data-cache; 0: none"
)
DATA_MEMORY_BYTES = env.integer(
    "DATA_MEMORY_BYTES",
    2 * 1024**3,
    "Training data that takes more memory stays on disk, is read in shards and shuffled through a buffer; 0: none does",
)
DATA_DATABASES = env.items(
    "DATA_DATABASES",
    [],
    "Databases that training data may come from, as NAME=URL with commas: users that can only read; sql:NAME in orders",
    shown="none",
)
QUEUE_WORKERS = env.integer("QUEUE_WORKERS", 1, "Processes that answer the queue's doorbell")
TRAINING_LAUNCHER = env.text(
    "TRAINING_LAUNCHER", "local", "Where trainings run: local, kubernetes, kubeflow, or a launcher's dotted path"
)
TRAINING_JOB_TEMPLATE = env.text(
    "TRAINING_JOB_TEMPLATE",
    "",
    "File with the Job (TrainJob) that each training becomes; empty: the one that comes along",
)
TRAINING_NAMESPACE = env.text("TRAINING_NAMESPACE", "", "The cluster's namespace for trainings; empty: this pod's own")
TRAINING_KUBECONFIG = env.text(
    "TRAINING_KUBECONFIG", "", "How the cluster is reached; empty: as this pod, else as kubectl does"
)
TRAINING_WORKERS_PER_NODE = env.integer(
    "TRAINING_WORKERS_PER_NODE", 1, "On a cluster: processes of a run in one pod; further workers are further pods"
)
TRAINING_SLOTS = env.integer(
    "TRAINING_SLOTS",
    1,
    "A run that asks for nothing gets one of so many equal shares of its machine; on a cluster: attempts at a time",
)
TRAINING_CORES = env.number("TRAINING_CORES", 0.0, "Cores of this machine that trainings may hold; 0: all")
TRAINING_MEMORY_BYTES = env.integer(
    "TRAINING_MEMORY_BYTES", 0, "Memory of this machine that trainings and serving may hold together; 0: all"
)
TRAINING_GPUS = env.items(
    "TRAINING_GPUS",
    ["all"],
    "GPUs of this machine that trainings may hold: all, none, or numbers or UUIDs with commas",
    shown="all",
)
TRAINING_CGROUP = env.text(
    "TRAINING_CGROUP",
    "auto",
    "Cgroup (version 2) in which each training gets one of its own; auto: one that systemd delegated; none: no cgroups",
)
TRAINING_BACKFILL_S = env.number(
    "TRAINING_BACKFILL_S", 600.0, "How long smaller runs may pass one for which there is no room yet"
)
TRAINING_AGING_S = env.number(
    "TRAINING_AGING_S", 3600.0, "Waiting so long raises a run's priority by one; 0: waiting does not raise it"
)
TRAINING_FAIR_SHARE_S = env.number(
    "TRAINING_FAIR_SHARE_S", 86400.0, "What someone used counts half in the order of the queue after so long"
)
TRAINING_ATTEMPTS = env.integer("TRAINING_ATTEMPTS", 3, "Processes that a run may lose before it fails as lost")
TRAINING_LEASE_S = env.number("TRAINING_LEASE_S", 30.0, "A training process silent for so long has lost its run")
TRAINING_WALL_CLOCK_S = env.number("TRAINING_WALL_CLOCK_S", 86400.0, "Longest time of a run, all attempts together")
TRAINING_STALL_S = env.number("TRAINING_STALL_S", 900.0, "Longest time of a run without a finished step or epoch")
TRAINING_STOP_GRACE_S = env.number("TRAINING_STOP_GRACE_S", 15.0, "From a stop order to SIGKILL; SIGTERM after a third")
TRAINING_SUPERVISE_S = env.number("TRAINING_SUPERVISE_S", 2.0, "Seconds between two looks at the runs")
TRAINING_LISTENERS = env.integer("TRAINING_LISTENERS", 50, "Pages of runs that one process keeps up to date at once")
TRAINING_RING_AGAIN_S = env.number("TRAINING_RING_AGAIN_S", 5.0, "Ring again for a run that waited so long unheard")
MODEL_WORK_TIMEOUT_S = env.number(
    "MODEL_WORK_TIMEOUT_S", 900.0, "Longest time of a process that imports or exports a model"
)
MODEL_WORK_MEMORY_MB = env.integer("MODEL_WORK_MEMORY_MB", 8192, "MiB that such a process may allocate; 0: no limit")
TRAINING_KERAS_BACKEND = env.text(
    "TRAINING_KERAS_BACKEND",
    "tensorflow",
    "What Keras recipes learn on if an order does not say it (--backend): tensorflow, torch or jax",
)
TRAINING_LEARN = "training.learning.learn"  # tests put a quick stand-in for the learning code here
CODE_COMMIT = env.text("CODE_COMMIT", "", "Commit of the code, where there is no git (in an image)")
Q_CLUSTER = {
    "name": "aiplatform",
    "orm": "default",
    "workers": QUEUE_WORKERS,
    "timeout": 60,  # a doorbell task starts a process and returns; it never trains
    "retry": 120,
    "max_attempts": 1,  # attempts are counted on the run's row, not by the queue
    "ack_failures": True,
    "poll": 0.5,
    "catch_up": False,
    "label": "Queue",
}

# --- Inference ------------------------------------------------------------------------------------
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

# --- Monitoring -----------------------------------------------------------------------------------
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

# --- Gateway --------------------------------------------------------------------------------------
env.section("Gateway")
KNOX_TOKEN_MODEL = "gateway.Token"  # noqa: S105  (a model, not a secret)
# knox's migrations make a table even for the model that is swapped out, with a foreign key to the users that
# Django knows nothing of: flushing the users, as transactional tests do, then fails on PostgreSQL.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_PREFIX": "aip_", "TOKEN_TTL": None}
IDENTITY_REFRESH_S = env.number("IDENTITY_REFRESH_S", 2.0, "Seconds between looks at tokens, limits and addresses")
RATE_LIMIT_PREDICT = env.text("RATE_LIMIT_PREDICT", "6000/min", "Predict requests of one token (N/s, /min, /h, /day)")
RATE_LIMIT_API = env.text("RATE_LIMIT_API", "600/min", "Requests of one token to one service's REST API")
GATEWAY_PREDICT_TIMEOUT_S = env.number("GATEWAY_PREDICT_TIMEOUT_S", 30.0, "Longest wait for a forwarded prediction")
GATEWAY_API_TIMEOUT_S = env.number("GATEWAY_API_TIMEOUT_S", 30.0, "Longest wait for a forwarded REST request")
BREAKER_FAILURES = env.integer("BREAKER_FAILURES", 5, "Failures in a row after which an address is left alone")
BREAKER_OPEN_S = env.number("BREAKER_OPEN_S", 5.0, "Seconds that it is left alone before one trial")
HEALTH_CHECK_TIMEOUT_S = env.number("HEALTH_CHECK_TIMEOUT_S", 2.0, "Deadline of a look at an address's readiness")
AUDIT_RETENTION_DAYS = env.integer("AUDIT_RETENTION_DAYS", 365, "Days that the audit log is kept; 0: for ever")

# --- Console --------------------------------------------------------------------------------------
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "aiplatform",
    "SITE_HEADER": "aiplatform",
    "SITE_SUBHEADER": "train, serve, watch",
    "SITE_ICON": "aiplatform.console.navigation.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "aiplatform.console.navigation.icon"}],
    "STYLES": ["aiplatform.console.navigation.stylesheet"],
    "SCRIPTS": ["aiplatform.console.navigation.chart_script"],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "aiplatform.console.home.home_context",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "aiplatform.console.navigation.sidebar",
    },
    "COLORS": {
        "primary": {
            "50": "#f0fdfa",
            "100": "#ccfbf1",
            "200": "#99f6e4",
            "300": "#5eead4",
            "400": "#2dd4bf",
            "500": "#14b8a6",
            "600": "#0d9488",
            "700": "#0f766e",
            "800": "#115e59",
            "900": "#134e4a",
            "950": "#042f2e",
        }
    },
}
