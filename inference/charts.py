"""Latency and drift on an endpoint's page, a line a version, as monitoring measured them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from aiplatform.console.charts import line_chart
from aiplatform.contracts.inference import EndpointInfo
from aiplatform.errors import NotFoundError, PlatformError
from aiplatform.services import monitoring_client

PERIOD_S = 3600
_TITLES = {
    "latency_p95_ms": "p95 latency, ms",
    "throughput_per_s": "Predictions per second",
    "worst_psi": "Drift of the worst feature, PSI",
}

Series = list[Mapping[str, Any]]


def draw_endpoint(endpoint: EndpointInfo) -> tuple[list[SafeString], str]:
    """Return the charts of the last hour, and why there are none if monitoring cannot be asked."""
    try:
        measured = {f"version {share.version}": _series(endpoint.name, share.version) for share in endpoint.traffic}
    except PlatformError as error:
        return [], error.message
    return [_draw(title, measured, name) for name, title in _TITLES.items()], ""


def _series(endpoint: str, version: int) -> Series:
    try:
        return list(monitoring_client().get_report(endpoint, version, PERIOD_S).report["series"])
    except NotFoundError:
        return []  # no prediction yet


def _draw(title: str, measured: Mapping[str, Series], name: str) -> SafeString:
    lines = {
        version: [(datetime.fromisoformat(point["start"]), point[name]) for point in series]
        for version, series in measured.items()
    }
    return line_chart(title=title, series=lines, x_is_time=True, x_label="UTC")
