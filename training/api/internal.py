"""The contract that training serves to the other apps."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest

from aiplatform.artifacts import Lineage
from aiplatform.contracts.training import (
    HoldingsReceipt,
    ModelVersionInfo,
    ModelVersionList,
    ReportHoldings,
    RetrainModel,
    RunInfo,
    RunList,
    RunSummary,
    SetAlias,
)
from aiplatform.http.views import internal_view, read_message
from training import registry, retraining, selectors
from training.models import ModelVersion, Run
from training.resources.holdings import keep_holdings
from training.states import RunState, VersionState


@internal_view
def get_version(request: HttpRequest, model: str, reference: str) -> ModelVersionInfo:
    """Answer one version by number, alias or 'latest'."""
    return version_info(selectors.get_version(model, reference))


@internal_view
def list_versions(request: HttpRequest, model: str) -> ModelVersionList:
    """Answer all versions of a model, newest first."""
    selectors.get_model(model)
    return ModelVersionList(versions=tuple(version_info(v) for v in selectors.list_versions(model)))


@internal_view
def get_lineage(request: HttpRequest, model: str, version: int) -> Lineage:
    """Answer where a version comes from."""
    return msgspec.convert(selectors.get_version(model, str(version)).lineage, Lineage)


@internal_view
def retrain(request: HttpRequest) -> RunInfo:
    """Queue a run like that of a version."""
    return run_info(retraining.retrain_model(read_message(request, RetrainModel)))


@internal_view
def get_run(request: HttpRequest, run_id: str) -> RunInfo:
    """Answer where a run stands."""
    return run_info(selectors.get_run(run_id))


@internal_view
def list_runs(request: HttpRequest, model: str) -> RunList:
    """Answer the latest runs of a model."""
    return RunList(runs=tuple(_run_summary(run) for run in selectors.list_latest_runs(model)))


@internal_view
def set_alias(request: HttpRequest) -> ModelVersionInfo:
    """Point an alias at a version."""
    order = read_message(request, SetAlias)
    registry.set_alias(model_name=order.model, alias=order.alias, reference=str(order.version), actor=order.actor)
    return version_info(selectors.get_version(order.model, str(order.version)))


@internal_view
def report_holdings(request: HttpRequest) -> HoldingsReceipt:
    """Take note of what a serving process holds."""
    return HoldingsReceipt(kept=keep_holdings(read_message(request, ReportHoldings)))


def run_info(run: Run) -> RunInfo:
    """Return the message for a run."""
    return RunInfo(
        run_id=str(run.pk),
        model=run.model_name,
        recipe=run.recipe,
        data_uri=run.data_uri,
        state=run.state,
        is_ended=run.is_ended,
        has_succeeded=run.state == RunState.SUCCEEDED,
        version=_ready_version(run),
        message=run.exit_message,
    )


def _run_summary(run: Run) -> RunSummary:
    return RunSummary(
        run_id=str(run.pk),
        recipe=run.recipe,
        state=run.state,
        version=_ready_version(run),
        actor=run.requested_by,
        created_at=run.created_at.isoformat(),
        ended_at=run.ended_at.isoformat() if run.ended_at else "",
        message=run.exit_message,
    )


def _ready_version(run: Run) -> int | None:
    version: ModelVersion | None = getattr(run, "version", None)
    return version.version if version is not None and version.state == VersionState.READY else None


def version_info(version: ModelVersion) -> ModelVersionInfo:
    """Return the message for a version."""
    metrics: dict[str, Any] = version.metrics
    return ModelVersionInfo(
        model=version.model.name,
        version=version.version,
        artifact_uri=version.artifact_uri,
        artifact_digest=version.artifact_digest,
        framework=version.framework,
        task=version.task,
        run_id=str(version.run_id or ""),
        created_at=version.created_at.isoformat(),
        labels=version.labels,
        aliases=tuple(sorted(alias.name for alias in version.aliases.all())),
        metrics=metrics,
    )
