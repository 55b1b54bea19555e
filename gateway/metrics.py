"""The gateway's metrics. Labels are route classes and addresses from settings, never raw paths."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from aiplatform.hot_metrics import HotCounter, HotEvents, HotHistogram

requests = Counter("aiplatform_gateway_requests_total", "Requests answered at the gateway", ["route", "status"])
latency = Histogram(
    "aiplatform_gateway_request_duration_seconds",
    "Time from a request's arrival at the gateway to its answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
rate_limited = Counter("aiplatform_gateway_rate_limited_total", "Requests refused by a rate limit", ["route"])
breaker_open = Gauge(
    "aiplatform_gateway_breaker_open",
    "1 while an address is left alone after failures, 0.5 while it is tried again, else 0",
    ["service", "address"],
    multiprocess_mode="livemax",
)
backend_healthy = Gauge(
    "aiplatform_gateway_backend_healthy",
    "1 if an address answered its last health check",
    ["service", "address"],
    multiprocess_mode="livemin",
)
identities_age = Gauge(
    "aiplatform_gateway_identities_age_seconds",
    "Age of the tokens in memory; grows while the database is away",
    multiprocess_mode="livemax",
)


def count_request(route: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    _answered.add(((route, status), seconds))


def _count_answered(key: tuple[str, int], seconds: Sequence[float]) -> None:
    route, status = key
    _requests(route, status).inc(len(seconds))
    _latency(route).observe_many(seconds)


_answered = HotEvents(_count_answered)


@functools.cache
def _requests(route: str, status: int) -> HotCounter:
    return HotCounter(requests.labels(route, str(status)))


@functools.cache
def _latency(route: str) -> HotHistogram:
    return HotHistogram(latency.labels(route))
