"""Where state is kept."""

from __future__ import annotations

from typing import Any

import dj_database_url

from aiplatform.settings.base import env
from aiplatform.settings.process import DATA_DIR

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
