"""Retrains a model because of what was seen of it, and puts the result up as challenger.

    collecting -> training -> starting -> done
        \\___________\\__________\\____-> failed

Each state is left by one conditional update, and what is ordered carries the retraining's key, so several
clocks may look and a crash costs nothing but the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from django.conf import settings
from django.db.models import QuerySet

from aiplatform.audit import write_audit
from aiplatform.contracts.inference import EndpointInfo
from aiplatform.contracts.training import ModelVersionInfo, RetrainModel, RunInfo, SetAlias
from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError, PlatformError
from aiplatform.storage import join_uri
from monitoring.actions.vocabulary import UNFINISHED, RetrainingState
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import Rollout
from monitoring.rollouts.services import start_rollout
from monitoring.rollouts.world import Inference as RolloutInference

if TYPE_CHECKING:
    from monitoring.store.training_data import LabelledExport

log = structlog.get_logger(__name__)

FOLDER = "_retraining"  # in the artifact store; no model can have the name
CHALLENGER = "challenger"
_FINAL = (ConflictError, NotFoundError, InvalidInputError)


class Endpoints(Protocol):
    """Who knows an endpoint's model."""

    def get_endpoint(self, name: str) -> EndpointInfo: ...


class Training(Protocol):
    """The part of training's contract that is needed here."""

    def get_model_version(self, model: str, reference: str) -> ModelVersionInfo: ...
    def retrain(self, order: RetrainModel) -> RunInfo: ...
    def get_run(self, run_id: str) -> RunInfo: ...
    def set_alias(self, order: SetAlias) -> ModelVersionInfo: ...


class ExportLabelled(Protocol):
    """The prediction store's labelled rows, as a data source of training."""

    def __call__(
        self, endpoint: str, *, since: datetime, until: datetime, uri: str, version: int | None = None
    ) -> LabelledExport: ...


@dataclass(frozen=True, kw_only=True)
class RetrainingWorld:
    """All that a retraining asks of others."""

    inference: RolloutInference
    training: Training
    export_labelled: ExportLabelled
    clock: Callable[[], datetime]


def order_retraining(
    *,
    endpoint: str,
    version: int,
    key: str,
    actor: str,
    inference: Endpoints,
    now: datetime,
    source: str = "",
    reason: str = "",
    policy: Mapping[str, Any] | None = None,
) -> Retraining:
    """Write down a retraining of an endpoint's model as `version` was trained; a known key returns it.

    Raises: NotFoundError if there is no such endpoint.
    """
    model = inference.get_endpoint(endpoint).model
    ordered, is_new = Retraining.objects.get_or_create(
        key=key,
        defaults={
            "endpoint": endpoint, "model": model, "base_version": version, "source": source, "ordered_by": actor[:150],
            "reason": reason[:1000], "created_at": now, "policy": dict(policy or {}),
        },
    )  # fmt: skip
    if is_new:
        write_audit(
            actor=actor, action="retraining.order", object=f"endpoint:{endpoint}",
            evidence={"retraining": ordered.pk, "version": version, "source": source, "reason": reason},
        )  # fmt: skip
    return ordered


def list_unfinished_retrainings() -> QuerySet[Retraining]:
    """Return the retrainings that go on, the oldest first."""
    return Retraining.objects.filter(state__in=UNFINISHED).order_by("pk")


def advance_retrainings(world: RetrainingWorld) -> None:
    """Take every unfinished retraining one step further, where that is possible now."""
    for row in list_unfinished_retrainings():
        try:
            _advance(row, world)
        except _FINAL as error:
            _move(row, RetrainingState.FAILED, error.message, ended_at=world.clock())
        except PlatformError as error:
            log.warning("retraining_waits", retraining=row.pk, error=error.message)
            Retraining.objects.filter(pk=row.pk, state=row.state).update(text=f"trying again: {error.message}"[:1000])


def _advance(row: Retraining, world: RetrainingWorld) -> None:
    match row.state:
        case RetrainingState.COLLECTING:
            _collect(row, world)
        case RetrainingState.TRAINING:
            _follow(row, world)
        case _:
            _put_up(row, world)


def _collect(row: Retraining, world: RetrainingWorld) -> None:
    data_uri, labelled = row.data_uri, row.labelled
    if not row.source:
        exported = world.export_labelled(
            row.endpoint,
            since=row.created_at - timedelta(days=settings.RETRAIN_WINDOW_DAYS),
            until=row.created_at,
            uri=join_uri(settings.ARTIFACT_STORE, FOLDER, f"{row.endpoint}-{row.pk}"),
        )
        data_uri, labelled = exported.uri, exported.rows
        if labelled < settings.RETRAIN_MIN_LABELS:
            raise ConflictError(
                f"only {labelled} predictions are labelled; "
                f"{settings.RETRAIN_MIN_LABELS} are asked (RETRAIN_MIN_LABELS)"
            )
    run = world.training.retrain(
        RetrainModel(
            model=row.model, version=row.base_version, idempotency_key=row.key, actor=row.ordered_by,
            reason=row.reason, data_uri=row.source, extra_data_uri="" if row.source else data_uri,
        )
    )  # fmt: skip
    _move(row, RetrainingState.TRAINING, f"run {run.run_id[:8]} on {run.data_uri}", run_id=run.run_id,
          data_uri=data_uri, labelled=labelled)  # fmt: skip


def _follow(row: Retraining, world: RetrainingWorld) -> None:
    run = world.training.get_run(row.run_id)
    if not run.is_ended:
        return
    if not run.has_succeeded or run.version is None:
        raise ConflictError(f"run {run.run_id[:8]} {run.state}: {run.message}")
    _move(row, RetrainingState.STARTING, f"version {run.version} is trained", version=run.version)


def _put_up(row: Retraining, world: RetrainingWorld) -> None:
    if row.version is None:
        raise ConflictError(f"run {row.run_id[:8]} made no version")
    world.training.set_alias(SetAlias(model=row.model, alias=CHALLENGER, version=row.version, actor=row.ordered_by))
    try:
        rollout = start_rollout(
            endpoint=row.endpoint, challenger=str(row.version), actor=row.ordered_by, reason=row.reason,
            key=f"retraining-{row.pk}", now=world.clock(), overrides=row.policy, inference=world.inference,
            training=world.training,
        )  # fmt: skip
    except ConflictError as error:  # another rollout goes on, or the endpoint is frozen: its time will come
        Retraining.objects.filter(pk=row.pk, state=row.state).update(text=f"waits: {error.message}"[:1000])
        return
    _finish(row, rollout, world.clock())


def _finish(row: Retraining, rollout: Rollout, now: datetime) -> None:
    _move(row, RetrainingState.DONE, f"version {row.version} is in rollout {rollout.pk}", rollout=rollout, ended_at=now)


def _move(row: Retraining, state: RetrainingState, text: str, **changes: Any) -> None:
    moved = Retraining.objects.filter(pk=row.pk, state=row.state).update(state=state, text=text[:1000], **changes)
    if not moved:
        return
    log.info("retraining", retraining=row.pk, endpoint=row.endpoint, state=state.value, text=text)
    if state in (RetrainingState.FAILED, RetrainingState.DONE):
        write_audit(
            actor=row.ordered_by, action=f"retraining.{state.value}", object=f"endpoint:{row.endpoint}",
            evidence={"retraining": row.pk, "text": text, "run": row.run_id, "version": row.version},
        )  # fmt: skip
