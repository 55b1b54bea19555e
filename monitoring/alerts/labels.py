"""The labels of an alert: its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from monitoring.models.alerts import AlertRule


def labels_of(rule: AlertRule, endpoint: str, version: int) -> dict[str, str]:
    """Return the labels of a rule's alert on one endpoint version; empty ones are left out."""
    labels = {
        **rule.labels,
        "alertname": rule.name,
        "endpoint": endpoint,
        "version": str(version),
        "severity": str(rule.severity),
        "feature": rule.feature,
    }
    return {name: text for name, text in labels.items() if text}


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return a short hash of labels: the same labels, the same fingerprint."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]
