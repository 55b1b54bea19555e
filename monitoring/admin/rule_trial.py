"""What the page of a trial shows: states as coloured strips, values as a line, firings and messages as tables."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any

from django.utils import timezone

from aiplatform.console.charts import line_chart
from monitoring.alerts.durations import duration_text
from monitoring.alerts.judgement import format_number
from monitoring.alerts.trial import PAUSED, TargetTrial, Trial, run_trial
from monitoring.alerts.vocabulary import RuleKind, TargetState
from monitoring.alerts.wire import past
from monitoring.models.alerts import AlertRule

STATES = {**dict(TargetState.choices), "paused": "paused by quiet hours"}
CHART_POINTS = 700


def trial_context(rule: AlertRule) -> dict[str, Any]:
    """Return the context of the trial's page."""
    trial = run_trial(rule, past(), now=timezone.now())
    seen = {moment.state for target in trial.targets for moment in target.moments}
    return {
        "trial": trial,
        "rule": rule,
        "had_data": bool(seen - {TargetState.NO_DATA, TargetState.ERROR, PAUSED}),
        "looked_every": duration_text(trial.step_s),
        "legend": [(state, text) for state, text in STATES.items() if state in seen],
        "targets": [_target(trial, target) for target in trial.targets],
        "sent": trial.messages[:200],
    }


def _target(trial: Trial, target: TargetTrial) -> dict[str, Any]:
    rule = trial.rule
    every = max(1, len(target.moments) // CHART_POINTS)
    values = [(moment.at, moment.found.value if moment.found else None) for moment in target.moments[::every]]
    limits = {} if rule.kind == RuleKind.ABSENCE else {"threshold": rule.threshold}
    name = f"change of {rule.metric}" if rule.kind == RuleKind.CHANGE else rule.metric
    return {
        "name": f"{target.endpoint} version {target.version}",
        "strips": list(_strips(trial, target)),
        "chart": line_chart(
            title=f"{name} of {target.endpoint} version {target.version}", series={name: values}, x_label="time (UTC)",
            y_label=name, x_is_time=True, thresholds=limits, width=1000,
        ),
        "firings": [
            {"fired_at": firing.fired_at, "resolved_at": firing.resolved_at,
             "lasted": _lasted(firing.fired_at, firing.resolved_at or trial.until)}
            for firing in target.firings
        ],
        "last": target.moments[-1].found.message if target.moments and target.moments[-1].found else "",
    }  # fmt: skip


def _strips(trial: Trial, target: TargetTrial) -> Any:
    """Yield the stretches of one state as shares of the whole time, in percent."""
    whole = (trial.until - trial.since).total_seconds() + trial.step_s
    for state, run in groupby(target.moments, key=lambda moment: moment.state):
        moments = list(run)
        start = (moments[0].at - trial.since).total_seconds()
        seconds = len(moments) * trial.step_s
        yield {
            "state": state, "left": f"{100 * start / whole:.3f}", "width": f"{100 * seconds / whole:.3f}",
            "text": f"{STATES[state]}: {moments[0].at:%m-%d %H:%M} to {moments[-1].at:%m-%d %H:%M} UTC",
        }  # fmt: skip


def _lasted(start: datetime, end: datetime) -> str:
    minutes = (end - start).total_seconds() / 60
    return f"{format_number(minutes)} min" if minutes < 120 else f"{format_number(minutes / 60)} h"
