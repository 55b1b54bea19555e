"""What a rule would have done over a past time, from the stored windows: nothing is written, nobody told.

It takes the same steps as the evaluation (`observe`, `advance`, `decide_flush`), only further apart: the
moments are whole minutes, and more of them apart where looking at each would take too long. Where no
window came or went between two moments the measurement is not made again. Silences, inhibitions and
acknowledgements are left out: they are about single alerts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitoring.alerts.judgement import Observation
from monitoring.alerts.lifecycle import Position, Timing, advance
from monitoring.alerts.observing import Measure, observe
from monitoring.alerts.quiet import find_quiet
from monitoring.alerts.targets import EndpointVersion, is_in_scope
from monitoring.alerts.transitions import state_of
from monitoring.alerts.trial_messages import Firing, TrialMessage, list_messages
from monitoring.alerts.vocabulary import NoDataPolicy, QuietEffect, Reference, RuleKind, Transition, VersionScope
from monitoring.models.alerts import AlertRule
from monitoring.readings import Readings

WEEK_S = 7 * 24 * 3600
BUDGET = 2000  # measurements of one trial, over all its targets
MOST_TARGETS = 10
PAUSED = "paused"

WindowStarts = Callable[[str, int, datetime, datetime], Sequence[datetime]]


@dataclass(frozen=True)
class Moment:
    """What the rule would have found and been at one moment; `state` is a TargetState or 'paused'."""

    at: datetime
    state: str
    found: Observation | None


@dataclass
class TargetTrial:
    """The past of one endpoint version under the rule."""

    endpoint: str
    version: int
    moments: list[Moment] = field(default_factory=list)
    firings: list[Firing] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a rule would have done."""

    rule: AlertRule
    since: datetime
    until: datetime
    step_s: int
    targets: Sequence[TargetTrial]
    messages: Sequence[TrialMessage]
    left_out: int = 0  # targets beyond MOST_TARGETS

    @property
    def firing_count(self) -> int:
        """Return how many alerts would have fired."""
        return sum(len(target.firings) for target in self.targets)


@dataclass(frozen=True, kw_only=True)
class Past:
    """Where a trial reads: `monitoring.statistics.measure`, the versions seen since a time, their windows."""

    measure: Measure
    list_active_versions: Callable[[datetime], Sequence[EndpointVersion]]
    window_starts: WindowStarts


def run_trial(rule: AlertRule, past: Past, *, now: datetime, period_s: int = WEEK_S, budget: int = BUDGET) -> Trial:
    """Return what a rule, stored or not, would have done over the last `period_s` seconds."""
    until = now.replace(second=0, microsecond=0)
    since = until - timedelta(seconds=period_s)
    found = _list_targets(rule, past, since)
    chosen = found[:MOST_TARGETS]
    signatures = {target: _Signatures(rule, past, target, since, until) for target in chosen}
    share = max(1, budget // max(1, len(chosen)))
    step_s = max((_fitting_step(one, since, until, share) for one in signatures.values()), default=60)
    targets = [_try_target(rule, past, target, signatures[target], since, until, step_s) for target in chosen]
    messages = list_messages(rule, [firing for target in targets for firing in target.firings], until=until)
    return Trial(
        rule=rule, since=since, until=until, step_s=step_s, targets=targets, messages=messages,
        left_out=len(found) - len(chosen),
    )  # fmt: skip


class _Signatures:
    """Which windows a measurement at a moment stands on; the same signature, the same measurement."""

    def __init__(self, rule: AlertRule, past: Past, target: EndpointVersion, since: datetime, until: datetime) -> None:
        self._window = timedelta(seconds=rule.window_s)
        self._offsets = [timedelta(0)]
        if rule.kind == RuleKind.CHANGE and rule.reference == Reference.EARLIER:
            self._offsets.append(timedelta(seconds=rule.offset_s))
        earliest = since - self._window - max(self._offsets) - timedelta(minutes=1)
        self._starts = sorted(past.window_starts(*target, earliest, until))

    def at(self, moment: datetime) -> tuple[int, ...]:
        """Return the signature of a moment."""
        parts: list[int] = []
        for offset in self._offsets:
            begin = (moment - offset - self._window).replace(second=0, microsecond=0)
            parts += [bisect_left(self._starts, begin), bisect_right(self._starts, moment - offset)]
        return tuple(parts)


def _list_targets(rule: AlertRule, past: Past, since: datetime) -> list[EndpointVersion]:
    if rule.version_scope == VersionScope.ONE:
        return [(rule.endpoint, rule.version or 0)]
    return sorted(target for target in past.list_active_versions(since) if is_in_scope(rule, target))


def _moments(since: datetime, until: datetime, step_s: int) -> Iterator[datetime]:
    moment = since
    while moment <= until:
        yield moment
        moment += timedelta(seconds=step_s)


def _fitting_step(signatures: _Signatures, since: datetime, until: datetime, share: int) -> int:
    """Return the smallest step of whole minutes with which a target needs no more than its share of measurements."""
    changes = 0
    before: tuple[int, ...] | None = None
    for moment in _moments(since, until, 60):
        signature = signatures.at(moment)
        changes += signature != before
        before = signature
    return 60 * max(1, -(-changes // share))


def _try_target(
    rule: AlertRule, past: Past, target: EndpointVersion, signatures: _Signatures, since: datetime, until: datetime,
    step_s: int,
) -> TargetTrial:  # fmt: skip
    trial = TargetTrial(endpoint=target[0], version=target[1])
    timing = Timing(
        for_s=rule.for_s, keep_firing_for_s=rule.keep_firing_for_s, no_data=NoDataPolicy(rule.no_data),
        on_error=NoDataPolicy(rule.on_error), stale_after_s=max(60.0, 2.0 * step_s),
    )  # fmt: skip
    quiet_hours = list(rule.quiet_hours.all()) if rule.pk else []
    position = Position()
    known: dict[tuple[int, ...], Observation] = {}
    for moment in _moments(since, until, step_s):
        if find_quiet(quiet_hours, QuietEffect.PAUSE, moment):
            trial.moments.append(Moment(moment, PAUSED, None))
            continue
        signature = signatures.at(moment)
        if signature not in known:
            known = {signature: observe(rule, past.measure, *target, moment, Readings())}
        found = known[signature]
        position, step = advance(position, found.verdict, timing, moment)
        trial.moments.append(Moment(moment, state_of(position, found.verdict).value, found))
        _note_firing(rule, trial, step, moment)
    return trial


def _note_firing(rule: AlertRule, trial: TargetTrial, step: Transition, moment: datetime) -> None:
    if step is Transition.FIRED:
        trial.firings.append(Firing(rule=rule, endpoint=trial.endpoint, version=trial.version, fired_at=moment))
    elif step is Transition.RESOLVED and trial.firings:
        trial.firings[-1].resolved_at = moment
