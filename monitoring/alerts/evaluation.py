"""The periodic job: observe every target of every rule, and record the step.

Time is cut into slots of `slot_s`, on the clock: a rule is evaluated for the moment in which a slot
ends, once, soon after it. Slots that nobody evaluated are not made up for. One process at a time
evaluates (a lease), and a step is written only while that holds and nobody else wrote first.

Measuring happens outside transactions and may call other services; only recording writes. An error
in one rule is that target's state, and stops no other. What several rules ask for is read once in an
evaluation, and steps without consequences, which most are, are written together at its end.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import Q

from monitoring.alerts import gauges
from monitoring.alerts.judgement import Observation
from monitoring.alerts.lease import LeaseHolder, LeaseLostError
from monitoring.alerts.lifecycle import Timing, advance
from monitoring.alerts.metrics import EVALUATION_DELAY_SECONDS, EVALUATION_SECONDS, EVALUATIONS
from monitoring.alerts.observing import Measure, observe
from monitoring.alerts.quiet import find_quiet
from monitoring.alerts.targets import EndpointVersion, ServingVersions, list_targets, minds_silence, reason_to_retire
from monitoring.alerts.transitions import (
    Step,
    close_alert,
    is_quiet_step,
    position_of,
    record_quiet_steps,
    record_step,
)
from monitoring.alerts.vocabulary import ACTIVE_STATES, NoDataPolicy, Phase, QuietEffect, Transition, Verdict
from monitoring.models.alerts import Alert, AlertRule, RuleTarget
from monitoring.readings import Readings

log = structlog.get_logger(__name__)

LOOK_BACK = timedelta(hours=1)  # a version without a prediction for so long is no longer looked for
LONG_LOOK_BACK = timedelta(days=8)  # by rules that look for missing traffic: last week, with a day to spare
FAR_AHEAD_S = 120.0  # a target evaluated so far in the future: the clock went back


_Quiet = tuple[AlertRule, RuleTarget, Step]


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the rules share during one evaluation, and no longer."""

    active: Sequence[EndpointVersion]
    missed: Sequence[EndpointVersion]
    serving: ServingVersions
    targets: Mapping[int, Sequence[RuleTarget]]  # by rule
    readings: Readings = field(default_factory=Readings)
    quiet: list[_Quiet] = field(default_factory=list)  # steps that are written at the end, together


@dataclass
class Evaluator:
    """Evaluates all rules once per `run`.

    `list_active_versions(since)` are the versions with predictions since then. A pause of more than
    `stale_after_s` between two evaluations restarts waiting times. With `slot_s` 0 the moment of the
    call is the slot. Without a `lease`, nobody else evaluates.
    """

    measure: Measure
    list_active_versions: Callable[[datetime], Sequence[EndpointVersion]]
    serving_versions: ServingVersions
    clock: Callable[[], datetime]
    stale_after_s: float = 60.0
    slot_s: float = 0.0
    lease: LeaseHolder | None = None
    steps: Counter[str] = field(default_factory=Counter)  # of the last run
    _now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    _done: datetime | None = None  # the last slot that this process evaluated in full

    def run(self) -> Counter[str]:
        """Evaluate every enabled rule for the present slot; return how many steps of each kind."""
        self.steps = Counter()
        self._now = slot_end(self.clock(), self.slot_s)
        if self.slot_s and self._done == self._now:
            return self.steps
        if self.lease is not None and not self.lease.acquire():
            gauges.forget_all()
            return self.steps
        try:
            with EVALUATION_SECONDS.time():
                self._evaluate_all()
        except LeaseLostError as error:
            log.warning("alert_lease_lost", reason=error.message)
            gauges.forget_all()
            self.steps["lost"] += 1
            return self.steps
        self._done = self._now
        EVALUATION_DELAY_SECONDS.set((self.clock() - self._now).total_seconds())
        gauges.count_standing()
        return self.steps

    def _evaluate_all(self) -> None:
        self._close_orphans()
        rules = list(AlertRule.objects.filter(is_enabled=True).prefetch_related("quiet_hours"))
        missed = self.list_active_versions(self._now - LONG_LOOK_BACK) if any(map(minds_silence, rules)) else ()
        seen = _Seen(
            active=self.list_active_versions(self._now - LOOK_BACK),
            missed=missed,
            serving=functools.cache(self.serving_versions),
            targets=_targets_by_rule(),
        )
        for rule in rules:
            with self._contain(rule):
                self._evaluate_rule(rule, seen)
        self._record_quiet(seen.quiet)

    @contextmanager
    def _contain(self, rule: AlertRule) -> Iterator[None]:
        """Let what one rule cannot write not keep the others from being looked at."""
        try:
            yield
        except (LeaseLostError, OperationalError, InterfaceError):  # nobody can write now
            raise
        except Exception:
            log.exception("alert_rule_failed", rule=rule.name)
            self.steps["failed"] += 1

    def _evaluate_rule(self, rule: AlertRule, seen: _Seen) -> None:
        if find_quiet(rule.quiet_hours.all(), QuietEffect.PAUSE, self._now):
            self.steps["paused"] += 1
            return
        wanted = list_targets(rule, seen.active, seen.missed, seen.serving)
        known = {(target.endpoint, target.version): target for target in seen.targets.get(rule.pk, ())}
        for endpoint, version in wanted:
            target = known.pop((endpoint, version), None)
            if target is None:
                target, _ = RuleTarget.objects.get_or_create(rule=rule, endpoint=endpoint, version=version)
            self._evaluate_target(rule, target, seen)
        for target in known.values():
            self._evaluate_absent(rule, target, seen)

    def _evaluate_absent(self, rule: AlertRule, target: RuleTarget, seen: _Seen) -> None:
        reason = reason_to_retire(rule, (target.endpoint, target.version), seen.serving)
        if reason:
            self._retire(rule, target, reason)
        elif target.phase == Phase.INACTIVE and rule.no_data != NoDataPolicy.ALERT:
            gauges.forget(rule, target)
            target.delete()
        else:
            self._evaluate_target(rule, target, seen)

    def _evaluate_target(self, rule: AlertRule, target: RuleTarget, seen: _Seen) -> None:
        now = self._now
        if _is_evaluated(target, now):
            return
        found = observe(rule, self.measure, target.endpoint, target.version, now, seen.readings)
        if _may_be_gone(rule, target, found):
            reason = reason_to_retire(rule, (target.endpoint, target.version), seen.serving)
            if reason:
                self._retire(rule, target, reason)
                return
        position, transition = advance(position_of(target), found.verdict, self._timing(rule), now)
        step = Step(observation=found, position=position, transition=transition, now=now)
        if is_quiet_step(target, step):
            seen.quiet.append((rule, target, step))
        elif record_step(rule, target, step, fence=self._fence):
            self._note(rule, target, step)

    def _record_quiet(self, quiet: Sequence[_Quiet]) -> None:
        """Write what has no consequences together; if that fails one by one, so that the fault stays with its rule."""
        try:
            written = record_quiet_steps([(target, step) for _, target, step in quiet], fence=self._fence)
        except (LeaseLostError, OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001  (the rule whose fault it is says so below)
            log.warning("alert_steps_one_by_one", reason=str(error))
            self._record_one_by_one(quiet)
            return
        for rule, target, step in quiet:
            if target.pk in written:
                self._note(rule, target, step)

    def _record_one_by_one(self, quiet: Sequence[_Quiet]) -> None:
        for rule, target, step in quiet:
            with self._contain(rule):
                if record_step(rule, target, step, fence=self._fence):
                    self._note(rule, target, step)

    def _note(self, rule: AlertRule, target: RuleTarget, step: Step) -> None:
        """Count a step that was written, and show it."""
        EVALUATIONS.labels(step.observation.verdict.value).inc()
        gauges.show(rule, target, step.observation)
        self.steps[step.transition.value] += 1

    def _fence(self) -> None:
        if self.lease is not None:
            self.lease.check()

    def _retire(self, rule: AlertRule, target: RuleTarget, reason: str) -> None:
        gauges.forget(rule, target)
        if target.alert and close_alert(target.alert, now=self._now, text=reason):
            self.steps[Transition.RESOLVED.value] += 1
        RuleTarget.objects.filter(pk=target.pk, alert=None).delete()

    def _close_orphans(self) -> None:
        orphans = Q(rule=None) | Q(rule__is_enabled=False) | Q(target=None)
        for alert in Alert.objects.filter(orphans, state__in=ACTIVE_STATES):
            text = "the rule was disabled" if alert.rule else "the rule was deleted"
            close_alert(alert, now=self._now, text=text)

    def _timing(self, rule: AlertRule) -> Timing:
        return Timing(
            for_s=rule.for_s,
            keep_firing_for_s=rule.keep_firing_for_s,
            no_data=NoDataPolicy(rule.no_data),
            on_error=NoDataPolicy(rule.on_error),
            stale_after_s=self.stale_after_s,
        )


def _targets_by_rule() -> dict[int, list[RuleTarget]]:
    """Return what is known of the targets of all enabled rules; their alerts, which few have, are read when needed."""
    found: dict[int, list[RuleTarget]] = {}
    for target in RuleTarget.objects.filter(rule__is_enabled=True).order_by("endpoint", "version"):
        found.setdefault(target.rule_id, []).append(target)
    return found


def _may_be_gone(rule: AlertRule, target: RuleTarget, found: Observation) -> bool:
    """Say whether an observation may only mean that the version is no longer served."""
    if found.verdict is Verdict.NO_DATA:
        return target.phase != Phase.INACTIVE
    return found.verdict is Verdict.BREACH and found.is_empty and minds_silence(rule)


def slot_end(now: datetime, slot_s: float) -> datetime:
    """Return the last moment that ends a slot, at or before now; now itself without slots."""
    if not slot_s:
        return now
    return datetime.fromtimestamp(now.timestamp() // slot_s * slot_s, tz=UTC)


def _is_evaluated(target: RuleTarget, now: datetime) -> bool:
    """Say whether the slot was evaluated; a target from far in the future was not: the clock went back."""
    if target.evaluated_at is None:
        return False
    return 0 <= (target.evaluated_at - now).total_seconds() < FAR_AHEAD_S
