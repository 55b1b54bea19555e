"""The condition of a rule in words."""

from __future__ import annotations

from typing import Protocol

from monitoring.alerts.durations import duration_text
from monitoring.alerts.vocabulary import ChangeUnit, Comparison, Reference, RuleKind

CHANGE_OF = "change of "


class Conditioned(Protocol):
    """The fields of a rule that its condition is made of."""

    kind: str
    metric: str
    feature: str
    comparison: str
    threshold: float
    change_unit: str
    reference: str
    offset_s: int
    window_s: int


def condition_text(rule: Conditioned) -> str:
    """Return the condition as people say it."""
    what = f"{rule.metric} of {rule.feature}" if rule.feature else rule.metric
    if rule.kind == RuleKind.ABSENCE:
        return f"no {what} for {duration_text(rule.window_s)}"
    limit = f"{Comparison(rule.comparison).label} {rule.threshold:g}"
    if rule.kind == RuleKind.CHANGE:
        if rule.change_unit == ChangeUnit.RELATIVE:
            limit = f"{Comparison(rule.comparison).label} {rule.threshold:+.4g} of it"
        over, since = duration_text(rule.window_s), reference_text(rule.reference, rule.offset_s)
        return f"{CHANGE_OF}{what} over {over}, against {since}, {limit}"
    return f"{what} {limit} over {duration_text(rule.window_s)}"


def measured_name(metric: str, condition: str) -> str:
    """Return what an alert's value is a value of: of a rule on a change, the change; -0.7 is no accuracy."""
    return f"{CHANGE_OF}{metric}" if condition.startswith(CHANGE_OF) else metric


def reference_text(reference: str, offset_s: int) -> str:
    """Return what a change is measured from."""
    return "training" if reference == Reference.TRAINING else f"{duration_text(offset_s)} ago"
