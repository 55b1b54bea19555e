"""/metrics for Prometheus: django-prometheus' and our own, added up over all processes.

`serve` sets PROMETHEUS_MULTIPROC_DIR before any process counts; without it (tests, runserver)
the process answers for itself alone. Each app defines its metrics in `<app>/metrics.py`.
"""

from __future__ import annotations

import django_prometheus.exports
from django.http import HttpRequest, HttpResponse

from aiplatform.hot_metrics import flush_metrics


def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics in Prometheus' text format."""
    flush_metrics()
    answer: HttpResponse = django_prometheus.exports.ExportToDjangoView(request)
    return answer
