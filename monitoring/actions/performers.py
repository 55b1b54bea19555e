"""What each kind of action does: one order, with the run's key, so that a repeat changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from aiplatform.contracts.inference import (
    EndpointInfo,
    FreezeEndpoint,
    OrderReceipt,
    RollBackEndpoint,
    SwitchEndpoint,
)
from aiplatform.errors import ConflictError
from monitoring.actions.retraining import order_retraining
from monitoring.alerts.actions import Performer
from monitoring.alerts.vocabulary import ActionKind
from monitoring.models.alerts import ActionRun
from monitoring.rollouts.selectors import find_active_rollout
from monitoring.rollouts.services import abort_rollout

ACTOR = "alert rule"


class Inference(Protocol):
    """The part of inference's contract that actions need."""

    def get_endpoint(self, name: str) -> EndpointInfo: ...
    def roll_back_endpoint(self, order: RollBackEndpoint) -> EndpointInfo: ...
    def freeze(self, order: FreezeEndpoint) -> OrderReceipt: ...
    def switch(self, order: SwitchEndpoint) -> OrderReceipt: ...


def make_performers(inference: Inference, clock: Callable[[], datetime]) -> dict[str, Performer]:
    """Return what carries out each kind of action."""
    return {
        ActionKind.ROLLBACK.value: _abort_or(roll_back_performer(inference.roll_back_endpoint), clock),
        ActionKind.FREEZE.value: freeze_performer(inference),
        ActionKind.SWITCH_OFF.value: switch_off_performer(inference),
        ActionKind.RETRAIN.value: retrain_performer(inference, clock),
    }


def roll_back_performer(roll_back: Callable[[RollBackEndpoint], EndpointInfo]) -> Performer:
    """Return the performer of 'rollback' over a given call to inference."""

    def perform(run: ActionRun) -> Mapping[str, Any]:
        order = RollBackEndpoint(
            endpoint=run.endpoint,
            actor=ACTOR,
            reason=_reason(run),
            idempotency_key=run.idempotency_key,
            from_version=run.version,
        )
        info = roll_back(order)
        return {
            "generation": info.generation,
            "traffic": [{"version": share.version, "weight": share.weight} for share in info.traffic],
        }

    return perform


def freeze_performer(inference: Inference) -> Performer:
    """Return the performer of 'freeze': no rollout goes on, no version is deployed, until a person lifts it."""

    def perform(run: ActionRun) -> Mapping[str, Any]:
        receipt = inference.freeze(
            FreezeEndpoint(
                endpoint=run.endpoint, is_frozen=True, actor=ACTOR, reason=_reason(run),
                idempotency_key=run.idempotency_key,
            )
        )  # fmt: skip
        return {"generation": receipt.generation}

    return perform


def switch_off_performer(inference: Inference) -> Performer:
    """Return the performer of 'switch off': 503 with the reason, until a person switches it on."""

    def perform(run: ActionRun) -> Mapping[str, Any]:
        receipt = inference.switch(
            SwitchEndpoint(
                endpoint=run.endpoint, is_on=False, actor=ACTOR, reason=_reason(run),
                idempotency_key=run.idempotency_key,
            )
        )  # fmt: skip
        return {"generation": receipt.generation}

    return perform


def retrain_performer(inference: Inference, clock: Callable[[], datetime]) -> Performer:
    """Return the performer of 'retrain': it orders; collecting, training and rolling out are a job's."""

    def perform(run: ActionRun) -> Mapping[str, Any]:
        rule = run.alert.rule
        ordered = order_retraining(
            endpoint=run.endpoint, version=run.version, key=run.idempotency_key, actor=f"{ACTOR} {run.alert.rule_name}",
            source=rule.action_source if rule else "", reason=_reason(run), inference=inference, now=clock(),
        )  # fmt: skip
        return {"retraining": ordered.pk}

    return perform


def _abort_or(roll_back: Performer, clock: Callable[[], datetime]) -> Performer:
    """Let a rollout whose challenger is at fault go back by itself; roll the endpoint back otherwise."""

    def perform(run: ActionRun) -> Mapping[str, Any]:
        rollout = find_active_rollout(run.endpoint)
        if rollout is not None and rollout.challenger == run.version:
            try:
                abort_rollout(rollout.pk, actor=f"{ACTOR} {run.alert.rule_name}"[:150], now=clock())
            except ConflictError:
                return {"rollout": rollout.pk, "note": "it was on its way back already"}
            return {"rollout": rollout.pk}
        return roll_back(run)

    return perform


def _reason(run: ActionRun) -> str:
    return f"alert {run.alert_id} ({run.alert.rule_name}): {run.alert.message}"
