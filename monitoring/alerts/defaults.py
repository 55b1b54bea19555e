"""The rules that a new platform has: for every endpoint, quiet on a quiet day.

A rule is made once. Changed, it stays changed; deleted, it stays deleted.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction

from monitoring.alerts.vocabulary import Comparison, Severity
from monitoring.models.alerts import AlertRule, ShippedRule

# Fewer samples than these give, now and then, a value beyond the threshold by chance alone: the
# population stability index of n rows over 10 bins is about chi-square(9)/n without any drift.
DEFAULT_RULES: dict[str, dict[str, Any]] = {
    "error-rate": {
        "name": "High error rate",
        "metric": "error_rate",
        "threshold": 0.05,
        "window_s": 300,
        "for_s": 30,
        "keep_firing_for_s": 120,
        "minimum_samples": 50,
        "severity": Severity.CRITICAL,
        "summary": "{endpoint} version {version} fails {value} of its requests (of 1), more than {threshold}.",
    },
    "latency": {
        "name": "Slow answers",
        "metric": "latency_p99_ms",
        "threshold": 1000.0,
        "window_s": 300,
        "for_s": 120,
        "keep_firing_for_s": 300,
        "minimum_samples": 200,
        "severity": Severity.WARNING,
        "summary": "1% of the answers of {endpoint} version {version} take {value} ms or more.",
    },
    "drift": {
        "name": "Input drift",
        "metric": "drift_psi",
        "threshold": 0.25,
        "window_s": 300,
        "for_s": 20,
        "keep_firing_for_s": 120,
        "minimum_samples": 200,
        "severity": Severity.WARNING,
        "summary": "What {endpoint} version {version} is asked is unlike what it learned from (PSI {value}).",
    },
    "accuracy": {
        "name": "Low accuracy",
        "metric": "accuracy",
        "comparison": Comparison.LT,
        "threshold": 0.8,
        "window_s": 3600,
        "for_s": 60,
        "keep_firing_for_s": 300,
        "minimum_samples": 100,
        "severity": Severity.CRITICAL,
        "summary": "Of {samples} labelled predictions of {endpoint} version {version}, a share of {value} was right.",
    },
}


def ensure_default_rules() -> list[str]:
    """Make the default rules that were never made here; return their names."""
    made: list[str] = []
    for key, fields in DEFAULT_RULES.items():
        with transaction.atomic():
            _, is_new = ShippedRule.objects.get_or_create(key=key)
            if is_new and not AlertRule.objects.filter(name=fields["name"]).exists():
                AlertRule.objects.create(**fields)
                made.append(fields["name"])
    return made


def make_default_rules_after_migrate(*, using: str, **kwargs: Any) -> None:
    """Make the default rules once their tables are there; a receiver of post_migrate."""
    needed = {AlertRule._meta.db_table, ShippedRule._meta.db_table}
    if using == "default" and needed <= set(connections[using].introspection.table_names()):
        ensure_default_rules()
