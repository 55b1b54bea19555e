"""What a rollout's page tells: where it stands, its steps with their numbers, what happened."""

from __future__ import annotations

from typing import Any

from monitoring.models.rollouts import Rollout, RolloutStep
from monitoring.rollouts.holds import describe_hold, find_hold
from monitoring.rollouts.vocabulary import ENTERED, RolloutState, StepState

_TONES = {StepState.PASSED: "good", StepState.FAILED: "bad", StepState.WAITING: "warn", StepState.RUNNING: "info"}
_STATE_TONES = {
    RolloutState.PROMOTED: "good", RolloutState.ROLLED_BACK: "bad", RolloutState.ABORTED: "warn",
    RolloutState.SUPERSEDED: "warn", RolloutState.ROLLING_BACK: "bad",
}  # fmt: skip


def rollout_story(rollout: Rollout) -> dict[str, Any]:
    """Return the context of the page."""
    steps = list(rollout.steps.all())
    hold = find_hold(rollout.endpoint) if rollout.is_active else None
    rolled_back = rollout.ended_at and rollout.failed_at
    return {
        "rollout": rollout,
        "tone": _STATE_TONES.get(RolloutState(rollout.state), "info"),
        "hold": describe_hold(hold) if hold else "",
        "passed": sum(step.state == StepState.PASSED for step in steps),
        "steps": [_step(step) for step in steps],
        "events": list(rollout.events.order_by("-at", "-pk")),
        "rollback_s": (rollout.ended_at - rollout.failed_at).total_seconds() if rolled_back else None,  # type: ignore[operator]
        "policy": sorted(rollout.policy.items()),
    }


def _step(step: RolloutStep) -> dict[str, Any]:
    return {
        "step": step,
        "tone": _TONES.get(StepState(step.state), ""),
        "is_now": step.state in ENTERED,
        "tests": [test for test in step.evidence.get("tests", []) if _has_seen(test)],
        "limit": step.evidence.get("limit"),
        "numbers": _numbers(step.evidence),
        "duration_s": (step.ended_at - step.started_at).total_seconds() if step.ended_at and step.started_at else None,
    }


def _has_seen(test: dict[str, Any]) -> bool:
    """Say whether a test has counted anything: numbers' errors are none of a classifier's, and the other way round."""
    return bool(test["champion"]["trials"] or test["challenger"]["trials"])


def _numbers(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what can be said in a word each, with four digits."""
    plain = {n: v for n, v in evidence.items() if v not in (None, "") and not isinstance(v, dict | list)}
    return [
        (name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value).lower())
        for name, value in plain.items()
        if name != "limit"
    ]
