"""One look at one endpoint version for one rule: measure, and judge by the rule's kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from aiplatform.errors import NotFoundError
from monitoring.alerts.judgement import Measured, Observation, judge, judge_absence, judge_change
from monitoring.alerts.vocabulary import Reference, RuleKind, Verdict
from monitoring.models.alerts import AlertRule
from monitoring.readings import Readings

log = structlog.get_logger(__name__)


class Measure(Protocol):
    """`monitoring.statistics.measure`."""

    def __call__(
        self, metric: str, *, endpoint: str, version: int, window_s: int, now: datetime, feature: str | None,
        readings: Readings,
    ) -> Measured:  # fmt: skip
        """Return one metric of one version over the last `window_s` seconds; `readings` are shared."""


def observe(
    rule: AlertRule, measure: Measure, endpoint: str, version: int, now: datetime, readings: Readings
) -> Observation:
    """Return what the rule finds there. Whatever a measurement raises is the observation 'error'."""
    try:
        return _judge(rule, measure, endpoint, version, now, readings)
    except Exception as error:  # it is this target's state, and stops no other
        log.exception("alert_evaluation_failed", rule=rule.name, endpoint=endpoint, version=version)
        return Observation(verdict=Verdict.ERROR, message=f"{type(error).__name__}: {error}")


def zero_is_data(metric: str) -> bool:
    """Say whether a metric has a value, 0, where there is no traffic."""
    from monitoring.statistics import METRICS

    info = METRICS.get(metric)
    return info is not None and info.zero_is_data


@dataclass(frozen=True)
class InTraining:
    """What a version's artifact says of it; `Measured` of no samples that could be counted here."""

    value: float | None
    samples: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)


def in_training(endpoint: str, version: int, readings: Readings) -> InTraining:
    """Return the accuracy that the trainer measured on data that it held out."""
    from monitoring.baselines import load_baseline
    from monitoring.selectors import get_served_version

    try:
        served = readings.once(get_served_version, endpoint, version)
        accuracy = readings.once(load_baseline, served).accuracy
    except NotFoundError:
        accuracy = None
    reason = {} if accuracy is not None else {"reason": "the artifact names no accuracy"}
    return InTraining(value=accuracy, detail=reason)


def _judge(
    rule: AlertRule, measure: Measure, endpoint: str, version: int, now: datetime, readings: Readings
) -> Observation:
    def at(time: datetime) -> Measured:
        return measure(
            rule.metric, endpoint=endpoint, version=version, window_s=rule.window_s, now=time,
            feature=rule.feature or None, readings=readings,
        )  # fmt: skip

    if rule.kind == RuleKind.ABSENCE:
        return judge_absence(rule, at(now))
    if rule.kind == RuleKind.CHANGE:
        is_training = rule.reference == Reference.TRAINING
        before = in_training(endpoint, version, readings) if is_training else at(now - timedelta(seconds=rule.offset_s))
        return judge_change(rule, at(now), before, zero_is_data=zero_is_data(rule.metric))
    return judge(rule, at(now))
