"""The gateway."""

from __future__ import annotations

from aiplatform.settings.base import env

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
