"""A rule's condition in PromQL, over the metrics that the platform exports (docs/metrics.md).

Traffic, errors and latency have series of their own; Prometheus then measures by itself. Everything else
(drift, accuracy ...) cannot be worked out from counters: there the expression reads the gauge of what the
platform's own evaluation measured for this very rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from monitoring.alerts.durations import duration_text
from monitoring.alerts.observing import zero_is_data
from monitoring.alerts.vocabulary import (
    EVERY_ENDPOINT,
    ChangeUnit,
    Comparison,
    NoDataPolicy,
    Reference,
    RuleKind,
    VersionScope,
)
from monitoring.models.alerts import AlertRule

_BY = "sum by (endpoint, version)"
_NEWEST = "max by (endpoint, version)"  # of several processes only the one that evaluates shows a number
_QUANTILES = {"latency_p50_ms": "0.5", "latency_p95_ms": "0.95", "latency_p99_ms": "0.99"}
_OPERATORS = {Comparison.GT: ">", Comparison.GE: ">=", Comparison.LT: "<", Comparison.LE: "<="}
SHORTEST_S = 60  # of a range: several scrapes must lie in it


@dataclass(frozen=True)
class Expression:
    """PromQL, and what it does otherwise than the platform."""

    text: str
    notes: tuple[str, ...] = ()


def expression_of(rule: AlertRule) -> Expression:
    """Return the condition of a rule in PromQL."""
    notes = []
    if rule.window_s < SHORTEST_S:
        notes.append(f"measured over {SHORTEST_S} s, not {rule.window_s} s: several scrapes must lie in the range")
    if rule.version_scope == VersionScope.SERVING:
        notes.append(
            "Prometheus cannot tell which versions have traffic by the endpoint's settings: every version counts"
        )
    is_training = rule.kind == RuleKind.CHANGE and rule.reference == Reference.TRAINING
    is_own = is_training or _series(rule) is None or NoDataPolicy.ALERT in (rule.no_data, rule.on_error)
    text = _by_gauge(rule) if is_own else _by_series(rule)
    if is_own:
        notes.append("reads what the platform's own evaluation measured: its series have no such metric")
    return Expression(text, tuple(notes))


def _by_series(rule: AlertRule) -> str:
    needed = rule.minimum_samples
    now, samples = _value(rule, ""), _samples(rule, "")
    if rule.kind == RuleKind.ABSENCE:
        text = f"{samples} < {max(1, needed)}"
        return text if rule.endpoint == EVERY_ENDPOINT else f"({text}) or absent({_series(rule)}{_selector(rule)})"
    if rule.kind == RuleKind.THRESHOLD:
        text = f"{now} {_limit(rule)}"
        return f"({text}) and ({samples} >= {needed})" if needed else text
    offset = f" offset {duration(rule.offset_s)}"
    before = _value(rule, offset)
    change = f"({now} - {before})"
    if rule.change_unit == ChangeUnit.RELATIVE:
        change = f"({change} / ({before} > 0))"
    text = f"({change} {_limit(rule)}) and ({_samples(rule, offset)} >= {max(1, needed)})"
    return text if zero_is_data(rule.metric) or not needed else f"{text} and ({samples} >= {needed})"


def _by_gauge(rule: AlertRule) -> str:
    named = f"{{rule={json.dumps(rule.name, ensure_ascii=False)}}}"
    if rule.kind == RuleKind.ABSENCE:
        text = f"{_NEWEST} (aiplatform_alert_rule_samples{named}) < {max(1, rule.minimum_samples)}"
    else:
        text = f"{_NEWEST} (aiplatform_alert_rule_value{named}) {_limit(rule)}"
    also = []
    if rule.no_data == NoDataPolicy.ALERT:
        also.append(f"({_NEWEST} (aiplatform_alert_rule_verdict{named}) == 2)")
    if rule.on_error == NoDataPolicy.ALERT:
        also.append(f"({_NEWEST} (aiplatform_alert_rule_verdict{named}) == 3)")
    return " or ".join([f"({text})", *also]) if also else text


def _series(rule: AlertRule) -> str | None:
    """Return the series that a metric is measured from, or None."""
    if rule.metric == "error_rate":
        return "aiplatform_predictions_total"
    if rule.metric in _QUANTILES:
        return "aiplatform_prediction_latency_seconds_count"
    if rule.metric in ("prediction_count", "throughput_per_s"):
        return "aiplatform_ingested_predictions_total"
    return None


def _value(rule: AlertRule, offset: str) -> str:
    span = f"[{duration(max(SHORTEST_S, rule.window_s))}]{offset}"
    if rule.metric == "error_rate":
        everything = f"{_BY} (increase(aiplatform_predictions_total{_selector(rule)}{span}))"
        of_failures = _selector(rule, 'status=~"5.."')
        failed = f"{_BY} (increase(aiplatform_predictions_total{of_failures}{span}))"
        return f"(({failed} or {everything} * 0) / {everything})"
    if rule.metric in _QUANTILES:
        buckets = f"aiplatform_prediction_latency_seconds_bucket{_selector(rule)}{span}"
        summed = f"sum by (endpoint, version, le) (increase({buckets}))"
        return f"(1000 * histogram_quantile({_QUANTILES[rule.metric]}, {summed}))"
    function = "rate" if rule.metric == "throughput_per_s" else "increase"
    return f"{_BY} ({function}({_series(rule)}{_selector(rule)}{span}))"


def _samples(rule: AlertRule, offset: str) -> str:
    span = f"[{duration(max(SHORTEST_S, rule.window_s))}]{offset}"
    return f"{_BY} (increase({_series(rule)}{_selector(rule)}{span}))"


def _selector(rule: AlertRule, *more: str) -> str:
    matchers = [] if rule.endpoint == EVERY_ENDPOINT else [f"endpoint={json.dumps(rule.endpoint)}"]
    if rule.version_scope == VersionScope.ONE:
        matchers.append(f'version="{rule.version}"')
    matchers += more
    return f"{{{', '.join(matchers)}}}" if matchers else ""


def _limit(rule: AlertRule) -> str:
    return f"{_OPERATORS[Comparison(rule.comparison)]} {rule.threshold!r}"


def duration(seconds: int) -> str:
    """Return a duration as Prometheus has it."""
    return duration_text(seconds).replace(" min", "m").replace(" ", "")
