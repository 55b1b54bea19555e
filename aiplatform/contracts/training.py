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


@dataclass(frozen=True, kw_only=True)
class RetrainModel:
    """Train a model anew with the recipe, the parameters and the target of a version's run.

    It learns from `data_uri` (empty: that of the version's run) and, if given, `extra_data_uri` as well. A
    repeated `idempotency_key` names the same run.
    """

    model: str
    version: int
    idempotency_key: str
    actor: str
    reason: str = ""
    data_uri: str = ""
    extra_data_uri: str = ""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run: `state` as training names it; `version` once it has one that is ready."""

    run_id: str
    model: str
    recipe: str
    data_uri: str
    state: str
    is_ended: bool
    has_succeeded: bool
    version: int | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a timeline tells of a run. Times are ISO 8601, UTC; empty: not yet."""

    run_id: str
    recipe: str
    state: str
    version: int | None
    actor: str
    created_at: str
    ended_at: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RunList:
    """Runs, newest first."""

    runs: tuple[RunSummary, ...]


@dataclass(frozen=True, kw_only=True)
class SetAlias:
    """Point an alias at a version, wherever it pointed before; safe to repeat."""

    model: str
    alias: str
    version: int
    actor: str


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a serving process holds for one version of an endpoint; endpoint empty: for itself.

    `memory_bytes` is what it holds now, `memory_peak_bytes` the most that it has held; `gpus`: bytes by the
    device's UUID.
    """

    endpoint: str = ""
    model: str = ""
    version: int = 0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    gpus: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportHoldings:
    """All that one serving process holds; it replaces the process's last report, and counts for `expires_s`.

    `machine` and `host` are `aiplatform.machine`'s. A process that ends in good order reports nothing any more.
    """

    replica: str
    machine: str
    host: str
    expires_s: float
    holdings: tuple[Holding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HoldingsReceipt:
    """How many holdings the ledger has of the process now."""

    kept: int


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

    def retrain(self, order: RetrainModel) -> RunInfo:
        """Queue a run as a version's own was; ConflictError if the version has none (it was imported)."""
        return self._service.post(f"{PREFIX}/retrain", order, RunInfo, is_idempotent=True)

    def get_run(self, run_id: str) -> RunInfo:
        """Return where a run stands."""
        return self._service.get(f"{PREFIX}/runs/{path_segment(run_id)}", RunInfo)

    def list_runs(self, model: str) -> RunList:
        """Return the latest runs of a model, newest first; empty for an unknown name."""
        return self._service.get(f"{PREFIX}/models/{path_segment(model)}/runs", RunList)

    def set_alias(self, order: SetAlias) -> ModelVersionInfo:
        """Move an alias, and return the version that it stands for now."""
        return self._service.post(f"{PREFIX}/aliases", order, ModelVersionInfo, is_idempotent=True)

    def report_holdings(self, report: ReportHoldings) -> HoldingsReceipt:
        """Say what a serving process holds, so that no training is given the same; safe to repeat."""
        return self._service.post(f"{PREFIX}/holdings", report, HoldingsReceipt, is_idempotent=True)
