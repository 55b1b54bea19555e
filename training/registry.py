"""Changes of the registry: a version's number, its readiness, and the aliases that point to it.

A version belongs to one run (or to none, if it was imported), and a run has at most one: however
often an attempt dies between its steps, the next one finds the same number. Each attempt has a place
of its own for the artifact, so that one that was taken for dead and wakes again can touch no other's.
Once ready a version never changes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from aiplatform.artifacts import MANIFEST, Manifest, fetch_artifact, verify_artifact
from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError
from aiplatform.storage import join_uri
from training import selectors
from training.leases import StaleFenceError, held_by
from training.models import Alias, ModelVersion, RegisteredModel
from training.names import check_alias, check_public_name
from training.states import DeployState, RunState, VersionState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """A version whose `artifact_uri` is this attempt's place; `abandoned`: an earlier one's, which is nobody's now."""

    version: ModelVersion
    abandoned: str = ""


def reserve_version(*, run_id: UUID, fence: int, model_name: str) -> Reservation:
    """Return the run's version, with the model's next number if it has none yet, at a place of this attempt's own.

    Raises: StaleFenceError if the claim is no longer good.
    """
    check_public_name("model", model_name)
    with transaction.atomic():
        if not held_by(run_id, fence).select_for_update().exists():
            raise StaleFenceError(f"run {run_id}: fence {fence} is stale")
        RegisteredModel.objects.get_or_create(name=model_name)
        model = RegisteredModel.objects.select_for_update().get(name=model_name)
        found = ModelVersion.objects.filter(run_id=run_id).first()
        if found is None:
            return Reservation(version=_next_version(model, run_id=run_id, fence=fence))
        abandoned, found.artifact_uri = found.artifact_uri, _place(model, found.version, fence)
        found.save(update_fields=["artifact_uri"])
        return Reservation(version=found, abandoned=abandoned if abandoned != found.artifact_uri else "")


def complete_run(*, run_id: UUID, fence: int, version: ModelVersion, manifest: Manifest, digest: str) -> None:
    """Make the version ready and the run succeeded, both or neither.

    Raises: StaleFenceError if the claim is no longer good.
    """
    now = timezone.now()
    with transaction.atomic():
        run = held_by(run_id, fence).select_for_update().first()
        if run is None:
            raise StaleFenceError(f"run {run_id}: fence {fence} is stale")
        _make_ready(version, manifest, digest)
        has_order = bool(run.deploy_endpoint)
        held_by(run_id, fence).update(
            state=RunState.SUCCEEDED,
            ended_at=now,
            lease_expires_at=None,
            progress=run.progress | {"phase": "done"},
            stop_reason="",
            exit_class="",
            exit_message="",
            exit_traceback="",
            data_fingerprint=manifest.lineage.data_fingerprint,
            deploy_state=DeployState.PENDING if has_order else DeployState.NONE,
            deploy_next_at=now if has_order else None,
        )
    log.info("version_registered", run=str(run_id), model=manifest.name, version=manifest.version, digest=digest)


def reserve_import(*, model_name: str) -> ModelVersion:
    """Return a pending version of a model, with its next number, that belongs to no run."""
    check_public_name("model", model_name)
    with transaction.atomic():
        RegisteredModel.objects.get_or_create(name=model_name)
        model = RegisteredModel.objects.select_for_update().get(name=model_name)
        return _next_version(model, run_id=None)


def complete_import(*, version: ModelVersion, manifest: Manifest, digest: str) -> ModelVersion:
    """Make an imported version ready.

    Raises: ConflictError if it was cleared away meanwhile.
    """
    if not _make_ready(version, manifest, digest):
        raise import_given_up(manifest.name, version)
    log.info("version_registered", run="", model=manifest.name, version=manifest.version, digest=digest)
    return selectors.get_version(manifest.name, str(version.version))


def import_given_up(name: str, version: ModelVersion) -> ConflictError:
    """Return the error of an import that took so long that another cleared it away."""
    return ConflictError(f"version {version.version} of model '{name}' is gone; import it again")


def _next_version(model: RegisteredModel, *, run_id: UUID | None, fence: int = 1) -> ModelVersion:
    model.last_version += 1
    model.save(update_fields=["last_version"])
    return ModelVersion.objects.create(
        model=model,
        version=model.last_version,
        run_id=run_id,
        artifact_uri=_place(model, model.last_version, fence),
    )


def _place(model: RegisteredModel, version: int, fence: int) -> str:
    """Return where an attempt puts its artifact: `digits/3`, and `digits/3-7` under a later fence than the first."""
    name = str(version) if fence == 1 else f"{version}-{fence}"
    return join_uri(settings.ARTIFACT_STORE, model.name, name)


def _make_ready(version: ModelVersion, manifest: Manifest, digest: str) -> int:
    return ModelVersion.objects.filter(pk=version.pk, state=VersionState.PENDING).update(
        state=VersionState.READY,
        artifact_digest=digest,
        framework=manifest.framework,
        task=manifest.task,
        manifest=msgspec.to_builtins(manifest),
        metrics=dict(manifest.metrics),
        created_at=timezone.now(),
    )


def set_alias(*, model_name: str, alias: str, reference: str, actor: str = "") -> Alias:
    """Point an alias at a version, wherever it pointed before.

    Raises: InvalidInputError for a reserved name; NotFoundError if there is no such version.
    """
    check_alias(alias)
    version = selectors.get_version(model_name, reference)
    with transaction.atomic():
        made, _ = Alias.objects.update_or_create(
            model=version.model, name=alias, defaults={"version": version, "changed_by": actor}
        )
    log.info("alias_set", model=model_name, alias=alias, version=version.version, actor=actor)
    return made


def remove_alias(*, model_name: str, alias: str, actor: str = "") -> None:
    """Remove an alias; its version stays.

    Raises: NotFoundError if there is none of that name.
    """
    removed, _ = Alias.objects.filter(model__name=model_name, name=alias).delete()
    if not removed:
        raise NotFoundError(f"model '{model_name}' has no alias '{alias}'")
    log.info("alias_removed", model=model_name, alias=alias, actor=actor)


def describe_model(*, model_name: str, description: str, actor: str = "") -> RegisteredModel:
    """Set what people read about a model.

    Raises: NotFoundError if there is no such model.
    """
    model = selectors.get_model(model_name)
    model.description = description
    model.save(update_fields=["description"])
    log.info("model_described", model=model_name, actor=actor)
    return model


def export_version(*, model_name: str, reference: str, folder: Path) -> ModelVersion:
    """Copy a version's artifact, verified before and after, to a folder that does not exist yet.

    Raises: ConflictError if the folder exists; ArtifactCorruptError if a byte differs;
    InvalidInputError if the folder cannot be written.
    """
    version = selectors.get_version(model_name, reference)
    if folder.exists():
        raise ConflictError(f"{folder} exists already; name a new folder")
    source = fetch_artifact(version.artifact_uri, cache=settings.ARTIFACT_CACHE_DIR, digest=version.artifact_digest)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, folder)
    except OSError as error:
        raise InvalidInputError(f"could not write to {folder}: {error}") from error
    verify_artifact(folder, digest=version.artifact_digest)
    log.info("version_exported", model=model_name, version=version.version, manifest=str(folder / MANIFEST))
    return version
