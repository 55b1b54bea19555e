"""What the others may ask of `training`: which versions exist, and where each came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiplatform.artifacts import Lineage
from aiplatform.http.client import ServiceClient, path_segment

PREFIX = "/internal/training"


@dataclass(frozen=True, kw_only=True)
class ModelVersionInfo:
    """One immutable version in the registry. `task` and `framework` are as in the manifest; `run_id` "
    "empty: imported."""

    model: str
    version: int
    artifact_uri: str
    artifact_digest: str
    framework: str
    task: str
    run_id: str
    created_at: str  # ISO 8601, UTC
    labels: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelVersionList:
    """The versions of a model, newest first."""

    versions: tuple[ModelVersionInfo, ...]


class TrainingClient:
    """Ask the registry. Every method raises a PlatformError; NotFoundError for unknown names."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def get_model_version(self, model: str, reference: str) -> ModelVersionInfo:
        """Return a version by number ('3'), by alias ('champion') or the newest ('latest')."""
        path = f"{PREFIX}/models/{path_segment(model)}/versions/{path_segment(reference)}"
        return self._service.get(path, ModelVersionInfo)

    def list_model_versions(self, model: str) -> ModelVersionList:
        """Return all versions of a model, newest first."""
        return self._service.get(f"{PREFIX}/models/{path_segment(model)}/versions", ModelVersionList)

    def get_lineage(self, model: str, version: int) -> Lineage:
        """Return run, recipe, parameters, data fingerprint, commit, packages and seed."""
        path = f"{PREFIX}/models/{path_segment(model)}/versions/{version}/lineage"
        return self._service.get(path, Lineage)
