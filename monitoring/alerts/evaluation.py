"""The periodic job: measure every target of every rule, judge, and record the step.

Measuring happens outside transactions and may call other services; only recording writes. An error
in one rule is that target's state, and stops no other.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from django.db.models import Q

from monitoring.alerts.judgement import Measured, Observation, judge
from monitoring.alerts.lifecycle import Timing, advance
from monitoring.alerts.metrics import EVALUATION_SECONDS, EVALUATIONS, FIRING
from monitoring.alerts.targets import EndpointVersion, ServingVersions, list_targets, reason_to_retire
from monitoring.alerts.transitions import Step, close_alert, position_of, record_step
from monitoring.alerts.vocabulary import ACTIVE_STATES, AlertState, NoDataPolicy, Phase, Severity, Transition, Verdict
from monitoring.models.alerts import Alert, AlertRule, RuleTarget

log = structlog.get_logger(__name__)

LOOK_BACK = timedelta(hours=1)  # a version without a prediction for so long is no longer looked for


class Measure(Protocol):
    """`monitoring.statistics.measure`."""

    def __call__(
        self, metric: str, *, endpoint: str, version: int, window_s: int, now: datetime, feature: str | None
    ) -> Measured:
        """Return one metric of one version over the last `window_s` seconds."""


@dataclass
class Evaluator:
    """Evaluates all rules once per `run`.

    `list_active_versions(since)` are the versions with predictions since then. A pause of more than
    `stale_after_s` between two evaluations restarts waiting times. A target evaluated less than
    `minimum_pause_s` ago, by another clock, is left alone.
    """

    measure: Measure
    list_active_versions: Callable[[datetime], Sequence[EndpointVersion]]
    serving_versions: ServingVersions
    clock: Callable[[], datetime]
    stale_after_s: float = 60.0
    minimum_pause_s: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)  # of the last run

    def run(self) -> Counter[str]:
        """Evaluate every enabled rule on everything it watches; return how many steps of each kind."""
        self.steps = Counter()
        serving = functools.cache(self.serving_versions)
        with EVALUATION_SECONDS.time():
            self._close_orphans()
            active = list(self.list_active_versions(self.clock() - LOOK_BACK))
            for rule in AlertRule.objects.filter(is_enabled=True).prefetch_related("channels"):
                try:
                    self._evaluate_rule(rule, active, serving)
                except Exception:  # what one rule cannot write must not keep the others from being looked at
                    log.exception("alert_rule_failed", rule=rule.name)
                    self.steps["failed"] += 1
        _count_firing()
        return self.steps

    def _evaluate_rule(self, rule: AlertRule, active: Sequence[EndpointVersion], serving: ServingVersions) -> None:
        wanted = list_targets(rule, active, serving)
        rows = rule.targets.select_related("alert", "alert__silence", "alert__rule")
        known = {(target.endpoint, target.version): target for target in rows}
        for endpoint, version in wanted:
            target = known.pop((endpoint, version), None)
            if target is None:
                target, _ = RuleTarget.objects.get_or_create(rule=rule, endpoint=endpoint, version=version)
            self._evaluate_target(rule, target, serving)
        for target in known.values():
            self._evaluate_absent(rule, target, serving)

    def _evaluate_absent(self, rule: AlertRule, target: RuleTarget, serving: ServingVersions) -> None:
        reason = reason_to_retire(rule, (target.endpoint, target.version), serving)
        if reason:
            self._retire(target, reason)
        elif target.phase == Phase.INACTIVE and rule.no_data != NoDataPolicy.ALERT:
            target.delete()
        else:
            self._evaluate_target(rule, target, serving)

    def _evaluate_target(self, rule: AlertRule, target: RuleTarget, serving: ServingVersions) -> None:
        now = self.clock()
        if self._is_too_soon(target, now):
            return
        found = self._observe(rule, target, now)
        if found.verdict is Verdict.NO_DATA and target.phase != Phase.INACTIVE:
            reason = reason_to_retire(rule, (target.endpoint, target.version), serving)
            if reason:
                self._retire(target, reason)
                return
        position, transition = advance(position_of(target), found.verdict, self._timing(rule), now)
        step = Step(observation=found, position=position, transition=transition, now=now)
        if record_step(rule, target, step):
            EVALUATIONS.labels(found.verdict.value).inc()
            self.steps[transition.value] += 1

    def _observe(self, rule: AlertRule, target: RuleTarget, now: datetime) -> Observation:
        try:
            measured = self.measure(
                rule.metric, endpoint=target.endpoint, version=target.version,
                window_s=rule.window_s, now=now, feature=rule.feature or None,
            )  # fmt: skip
            return judge(rule, measured)
        except Exception as error:  # whatever a measurement raises is this target's state
            log.exception("alert_evaluation_failed", rule=rule.name, endpoint=target.endpoint, version=target.version)
            return Observation(verdict=Verdict.ERROR, message=f"{type(error).__name__}: {error}")

    def _is_too_soon(self, target: RuleTarget, now: datetime) -> bool:
        if target.evaluated_at is None:
            return False
        return 0 <= (now - target.evaluated_at).total_seconds() < self.minimum_pause_s

    def _retire(self, target: RuleTarget, reason: str) -> None:
        if target.alert and close_alert(target.alert, now=self.clock(), text=reason):
            self.steps[Transition.RESOLVED.value] += 1
        RuleTarget.objects.filter(pk=target.pk, alert=None).delete()

    def _close_orphans(self) -> None:
        orphans = Q(rule=None) | Q(rule__is_enabled=False) | Q(target=None)
        for alert in Alert.objects.filter(orphans, state__in=ACTIVE_STATES).select_related("rule"):
            text = "the rule was disabled" if alert.rule else "the rule was deleted"
            close_alert(alert, now=self.clock(), text=text)

    def _timing(self, rule: AlertRule) -> Timing:
        return Timing(
            for_s=rule.for_s,
            keep_firing_for_s=rule.keep_firing_for_s,
            no_data=NoDataPolicy(rule.no_data),
            stale_after_s=self.stale_after_s,
        )


def _count_firing() -> None:
    firing = Counter(Alert.objects.filter(state=AlertState.FIRING).values_list("severity", flat=True))
    for severity in Severity.values:
        FIRING.labels(severity).set(firing[severity])
