"""The contract that training serves to the other apps."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest

from aiplatform.artifacts import Lineage
from aiplatform.contracts.training import ModelVersionInfo, ModelVersionList
from aiplatform.http.views import internal_view
from training import selectors
from training.models import ModelVersion


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
