"""One claimed rollout. All that is written passes its fence: a process that was taken for dead writes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q

from aiplatform.audit import write_audit
from monitoring.models.rollouts import Rollout, RolloutEvent, RolloutStep
from monitoring.rollouts import metrics
from monitoring.rollouts.policy import Policy, read_policy
from monitoring.rollouts.vocabulary import ACTIVE, RolloutState

log = structlog.get_logger(__name__)

CLAIM_S = 30.0
TEXT_LENGTH = 1000
ACTOR = "rollout"


class LostClaimError(Exception):
    """Another process has claimed the rollout meanwhile."""


class Desk:
    """A rollout while this process holds it."""

    def __init__(self, rollout: Rollout, now: datetime) -> None:
        self.rollout = rollout
        self.policy: Policy = read_policy(rollout.policy)
        self.now = now

    def key(self, what: str) -> str:
        """Return the idempotency key of one of its orders."""
        return f"{self.prefix}{what}"

    @property
    def prefix(self) -> str:
        """Return what all its keys begin with."""
        return f"rollout-{self.rollout.pk}-"

    @property
    def shares(self) -> tuple[int, int]:
        """Return the numbers of champion and challenger."""
        return self.rollout.champion, self.rollout.challenger

    def write(
        self, *, step: RolloutStep | None = None, step_changes: dict[str, Any] | None = None,
        event: str = "", tone: str = "", actor: str = "", **changes: Any,
    ) -> None:  # fmt: skip
        """Write changes of the rollout and of a step, and a line of the timeline: all or nothing.

        Raises: LostClaimError if the claim is no longer good.
        """
        with transaction.atomic():
            mine = Rollout.objects.filter(pk=self.rollout.pk, fence=self.rollout.fence)
            if not mine.update(**(changes or {"fence": F("fence")})):
                raise LostClaimError
            if step is not None and step_changes:
                RolloutStep.objects.filter(pk=step.pk).update(**step_changes)
            if event:
                add_rollout_event(self.rollout, self.now, event, tone=tone, actor=actor)
        for name, value in changes.items():
            setattr(self.rollout, name, value)
        for name, value in (step_changes or {}).items():
            setattr(step, name, value)

    def wait_for(self, text: str) -> None:
        """Say what the rollout waits for; writes only what is new."""
        if self.rollout.waiting_for != text[:TEXT_LENGTH]:
            self.write(waiting_for=text[:TEXT_LENGTH])

    def turn_back(
        self,
        reason: str,
        outcome: RolloutState,
        *,
        step: RolloutStep | None,
        step_changes: dict[str, Any],
        actor: str = "",
    ) -> None:
        """Begin the way back to the traffic before; what was found of the step is written with it."""
        self.write(
            step=step, step_changes=step_changes, state=RolloutState.ROLLING_BACK, outcome=outcome,
            reason=reason[:TEXT_LENGTH], failed_at=self.now, waiting_for="", order="",
            event=f"{reason}: back to version {self.rollout.champion}", tone="bad", actor=actor,
        )  # fmt: skip

    def end(self, state: RolloutState, event: str, *, tone: str = "", **changes: Any) -> None:
        """Bring the rollout to its end."""
        self.write(
            state=state, ended_at=self.now, waiting_for="", order="", event=event, tone=tone, **changes
        )  # fmt: skip
        rollout = self.rollout
        metrics.ENDED.labels(state.value).inc()
        if rollout.failed_at and state in (RolloutState.ROLLED_BACK, RolloutState.ABORTED):
            metrics.ROLLBACK_SECONDS.observe((self.now - rollout.failed_at).total_seconds())
        write_audit(
            actor=ACTOR, action=f"rollout.{state.value}", object=f"endpoint:{rollout.endpoint}",
            evidence={"rollout": rollout.pk, "champion": rollout.champion, "challenger": rollout.challenger,
                      "reason": rollout.reason, "steps": _told_steps(rollout)},
        )  # fmt: skip
        log.info(
            "rollout_ended", rollout=rollout.pk, endpoint=rollout.endpoint, state=state.value, reason=rollout.reason
        )


def claim_rollout(pk: int, *, owner: str, now: datetime) -> Desk | None:
    """Become the one who advances a rollout; None if another process does, or it is over."""
    far = now + timedelta(seconds=2 * CLAIM_S)  # a claim from the future: the clock was put back
    is_free = Q(claimed_until=None) | Q(claimed_until__lte=now) | Q(claimed_until__gt=far) | Q(owner=owner)
    claimed = Rollout.objects.filter(is_free, pk=pk, state__in=ACTIVE).update(
        owner=owner, claimed_until=now + timedelta(seconds=CLAIM_S), fence=F("fence") + 1
    )
    return Desk(Rollout.objects.get(pk=pk), now) if claimed else None


def release_rollout(desk: Desk) -> None:
    """Let the next process claim it at once."""
    Rollout.objects.filter(pk=desk.rollout.pk, fence=desk.rollout.fence).update(claimed_until=None)


def add_rollout_event(rollout: Rollout, at: datetime, text: str, *, tone: str = "", actor: str = "") -> None:
    """Add a line to a rollout's timeline."""
    RolloutEvent.objects.create(rollout=rollout, at=at, text=text[:TEXT_LENGTH], tone=tone, actor=actor)


def _told_steps(rollout: Rollout) -> list[dict[str, Any]]:
    return [
        {"step": step.name, "state": step.state, "text": step.text, "evidence": step.evidence}
        for step in rollout.steps.all()
    ]
