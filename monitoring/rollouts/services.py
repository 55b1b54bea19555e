"""Orders to rollouts: start, pause, resume, abort, promote; a policy for an endpoint."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import IntegrityError, transaction

from aiplatform.audit import write_audit
from aiplatform.contracts.inference import EndpointInfo
from aiplatform.errors import ConflictError
from monitoring.models.rollouts import PromotionPolicy, Rollout, RolloutStep
from monitoring.rollouts import metrics
from monitoring.rollouts.desk import add_rollout_event
from monitoring.rollouts.policy import Policy, plain_policy, read_policy
from monitoring.rollouts.selectors import find_policy_values, get_rollout
from monitoring.rollouts.vocabulary import PersonsOrder, RolloutState, StepKind
from monitoring.rollouts.world import Inference, Training

log = structlog.get_logger(__name__)


def start_rollout(
    *,
    endpoint: str,
    challenger: str,
    actor: str,
    now: datetime,
    inference: Inference,
    training: Training,
    reason: str = "",
    key: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> Rollout:
    """Begin to bring a challenger (a number or an alias) through the gates; a known `key` returns its rollout.

    `overrides` go over the endpoint's policy for this rollout.
    Raises: NotFoundError for an unknown endpoint or version; InvalidInputError for a bad policy;
    ConflictError if a rollout goes on there, the endpoint is frozen, or not exactly one version answers.
    """
    known = Rollout.objects.filter(key=key).first() if key else None
    if known is not None:
        return known
    policy = read_policy({**find_policy_values(endpoint), **(overrides or {})})
    info = inference.get_endpoint(endpoint)
    version = training.get_model_version(info.model, challenger).version
    champion = _champion(info, version)
    rollout = Rollout(
        key=key or f"order-{secrets.token_hex(8)}", endpoint=endpoint, model=info.model, champion=champion,
        challenger=version, policy=plain_policy(policy), generation=info.traffic_generation,
        traffic_before=[{"version": s.version, "weight": s.weight} for s in info.traffic],
        started_by=actor, started_for=reason[:1000], created_at=now,
    )  # fmt: skip
    try:
        with transaction.atomic():
            rollout.save()
            RolloutStep.objects.bulk_create(plan_steps(rollout, policy))
            add_rollout_event(rollout, now, f"version {version} shall replace version {champion}", actor=actor)
    except IntegrityError as error:
        raise ConflictError(f"a rollout of endpoint '{endpoint}' goes on already") from error
    metrics.STARTED.inc()
    _audit(rollout, actor, "start", {"champion": champion, "challenger": version, "reason": reason})
    return rollout


def plan_steps(rollout: Rollout, policy: Policy) -> list[RolloutStep]:
    """Return the steps that a policy asks for, in their order."""
    planned: list[tuple[StepKind, int]] = [(StepKind.VALIDATION, 0), (StepKind.LOADING, 0)]
    planned += [(StepKind.REPLAY, 0)] if policy.replay_requests else []
    planned += [(StepKind.SHADOW, 0)] if policy.shadow_s else []
    planned += [(StepKind.CANARY, weight) for weight in policy.steps]
    return [
        RolloutStep(rollout=rollout, number=number, kind=kind, weight=weight)
        for number, (kind, weight) in enumerate(planned, start=1)
    ]


def pause_rollout(pk: int, *, actor: str, now: datetime) -> Rollout:
    """Begin no further step until it is resumed; a bad verdict still leads back.

    Raises: NotFoundError; ConflictError if it is over.
    """
    return _change(pk, actor, now, "pauses", is_paused=True, paused_by=actor)


def resume_rollout(pk: int, *, actor: str, now: datetime) -> Rollout:
    """Go on; raises as `pause_rollout`."""
    return _change(pk, actor, now, "resumes", is_paused=False, paused_by="")


def abort_rollout(pk: int, *, actor: str, now: datetime) -> Rollout:
    """Go back to the traffic before, also while automation is held; raises as `pause_rollout`."""
    return _change(pk, actor, now, "aborts", order=PersonsOrder.ABORT, ordered_by=actor)


def promote_rollout(pk: int, *, actor: str, now: datetime) -> Rollout:
    """Make the challenger champion without the gates that are left; raises as `pause_rollout`."""
    return _change(pk, actor, now, "promotes", order=PersonsOrder.PROMOTE, ordered_by=actor)


def set_policy(*, endpoint: str, values: Mapping[str, Any], actor: str) -> PromotionPolicy:
    """Set what is special for an endpoint's challengers.

    Raises: InvalidInputError naming value and rule.
    """
    read_policy(values)
    policy, _ = PromotionPolicy.objects.update_or_create(
        endpoint=endpoint, defaults={"values": dict(values), "updated_by": actor}
    )
    write_audit(actor=actor, action="policy.set", object=f"endpoint:{endpoint}", evidence=dict(values))
    return policy


def _champion(info: EndpointInfo, challenger: int) -> int:
    answering: Sequence[int] = [share.version for share in info.traffic if share.weight > 0]
    if info.is_frozen:
        raise ConflictError(f"endpoint '{info.name}' is frozen ({info.frozen_reason}); lift that first")
    if len(answering) != 1:
        raise ConflictError(
            f"a rollout begins where one version answers; endpoint '{info.name}' has {len(answering)}: "
            f"{', '.join(map(str, answering)) or 'none'}"
        )
    if answering[0] == challenger:
        raise ConflictError(f"version {challenger} answers all requests of endpoint '{info.name}' already")
    return answering[0]


def _change(pk: int, actor: str, now: datetime, word: str, **changes: Any) -> Rollout:
    get_rollout(pk)
    with transaction.atomic():
        if not Rollout.objects.filter(pk=pk, state=RolloutState.RUNNING).update(**changes):
            state = get_rollout(pk).get_state_display().lower()
            raise ConflictError(f"rollout {pk} is {state}: it cannot be changed any more")
        rollout = get_rollout(pk)
        add_rollout_event(rollout, now, f"{actor} {word} it", actor=actor)
    _audit(rollout, actor, word.removesuffix("s"), {})
    return rollout


def _audit(rollout: Rollout, actor: str, action: str, evidence: Mapping[str, Any]) -> None:
    told = {"rollout": rollout.pk, **evidence}
    write_audit(actor=actor, action=f"rollout.{action}", object=f"endpoint:{rollout.endpoint}", evidence=told)
