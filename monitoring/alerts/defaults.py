"""The rules that a new platform has: for every endpoint, quiet on a quiet day.

A rule is made once. Changed, it stays changed; deleted, it stays deleted.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction

from monitoring.alerts.routing import ensure_default_route
from monitoring.alerts.vocabulary import ChangeUnit, Comparison, Reference, RuleKind, Severity
from monitoring.models.alerts import AlertRule, Route, ShippedRule

DAY_S = 86_400

# Fewer samples than these give, now and then, a value beyond the threshold by chance alone: the
# population stability index of n rows over 10 bins is about chi-square(9)/n without any drift; 6 errors
# in 100 requests that fail once in 300 are one in a million.
DEFAULT_RULES: dict[str, dict[str, Any]] = {
    "error-rate": {
        "name": "High error rate",
        "metric": "error_rate",
        "threshold": 0.05,
        "window_s": 300,
        "for_s": 30,
        "keep_firing_for_s": 120,
        "minimum_samples": 100,
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
    # Against yesterday at this time, since latency has its hours; three times, since a p99 is a restless number.
    "latency-change": {
        "name": "Slower than yesterday",
        "kind": RuleKind.CHANGE,
        "metric": "latency_p99_ms",
        "change_unit": ChangeUnit.RELATIVE,
        "offset_s": DAY_S,
        "threshold": 2.0,
        "window_s": 900,
        "for_s": 600,
        "keep_firing_for_s": 600,
        "minimum_samples": 500,
        "severity": Severity.WARNING,
        "summary": "The slowest percent of {endpoint} version {version} takes three times as long as a day ago.",
    },
    # Against last week, since a quiet night, and a quiet Sunday, are no news. No data before a version is a week old.
    "no-traffic": {
        "name": "No traffic",
        "kind": RuleKind.CHANGE,
        "metric": "prediction_count",
        "change_unit": ChangeUnit.RELATIVE,
        "offset_s": 7 * DAY_S,
        "comparison": Comparison.LE,
        "threshold": -1.0,
        "window_s": 1800,
        "for_s": 300,
        "keep_firing_for_s": 300,
        "minimum_samples": 200,
        "severity": Severity.CRITICAL,
        "summary": "{endpoint} version {version} has had no request for half an hour; a week ago it had some.",
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
    # Of models that have an embedding; others are no data. A dimension has drifted only if it is far off and
    # significant, at the settings' own 0.001 over all dimensions, so half of them together are no chance.
    "embedding-drift": {
        "name": "Embedding drift",
        "metric": "drifted_embedding_share",
        "comparison": Comparison.GE,
        "threshold": 0.5,
        "window_s": 300,
        "for_s": 20,
        "keep_firing_for_s": 120,
        "minimum_samples": 200,
        "severity": Severity.WARNING,
        "summary": "What {endpoint} version {version} makes of its inputs is new: {value} of its embedding drifted.",
    },
    "accuracy-drop": {
        "name": "Accuracy drop",
        "kind": RuleKind.CHANGE,
        "metric": "accuracy",
        "reference": Reference.TRAINING,
        "comparison": Comparison.LT,
        "threshold": -0.1,
        "window_s": 3600,
        "for_s": 60,
        "keep_firing_for_s": 300,
        "minimum_samples": 400,
        "severity": Severity.CRITICAL,
        "summary": "{endpoint} version {version} is right less often than in training: a difference of {value} (of 1).",
    },
    "estimated-accuracy-drop": {
        "name": "Estimated accuracy drop",
        "metric": "estimated_accuracy_drop",
        "threshold": 0.1,
        "window_s": 3600,
        "for_s": 300,
        "keep_firing_for_s": 600,
        "minimum_samples": 500,
        "severity": Severity.WARNING,
        "summary": "{endpoint} version {version} seems to be right less often than in training: by {value} (of 1).",
    },
}  # fmt: skip


def ensure_default_rules() -> list[str]:
    """Make the default rules that were never made here; return their names."""
    from monitoring.statistics import METRICS  # statistics reads models; this module is wired before they are ready

    made: list[str] = []
    for key, fields in DEFAULT_RULES.items():
        if fields["metric"] not in METRICS:  # not measured here: made once it is
            continue
        with transaction.atomic():
            _, is_new = ShippedRule.objects.get_or_create(key=key)
            if is_new and not AlertRule.objects.filter(name=fields["name"]).exists():
                AlertRule.objects.create(**fields)
                made.append(fields["name"])
    return made


def make_default_rules_after_migrate(*, using: str, **kwargs: Any) -> None:
    """Make the default rules once their tables are there; a receiver of post_migrate."""
    needed = {model._meta.db_table for model in (AlertRule, ShippedRule, Route)}
    if using == "default" and needed <= set(connections[using].introspection.table_names()):
        ensure_default_route()
        ensure_default_rules()
