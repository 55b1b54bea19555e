"""What this process is, its secrets, and where the others are."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from aiplatform.machine_code import loader as machine_code
from aiplatform.roles import parse_roles, roles_of_process
from aiplatform.settings.base import BASE_DIR, env

# --- What this process is -------------------------------------------------------------------------
env.section("Process")
CONFIGURED_ROLES = parse_roles(
    env.text("AIPLATFORM_ROLES", "all", "all, or some of gateway, training, inference, monitoring, console")
)
ROLES = roles_of_process(CONFIGURED_ROLES, sys.argv)
DEBUG = env.flag("AIPLATFORM_DEBUG", False, "Development mode: error pages, and secrets may be missing")
MACHINE_CODE = env.flag(
    "MACHINE_CODE", True, "Run the way of a prediction as machine code, where it was built: performance.md"
)
FOUND_MACHINE_CODE = machine_code.install() if MACHINE_CODE else None
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
