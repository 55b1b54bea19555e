"""Django itself: HTTP, what is installed, the REST API, logs."""

from __future__ import annotations

from aiplatform.logs import logging_config
from aiplatform.roles import CONSOLE, GATEWAY, TRAINING, apps_for
from aiplatform.settings.base import BASE_DIR, env
from aiplatform.settings.process import CONSOLE_URL, DEBUG, PUBLIC_URL, ROLES

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
    *(["aiplatform.console.apps.PagesConfig"] if IS_CONSOLE else []),
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
