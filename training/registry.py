"""Changes of the registry: a version's number, its readiness, and the aliases that point to it.

A version belongs to one run, and a run has at most one: however often an attempt dies between its
steps, the next one finds the same number. Once ready a version never changes.
"""

from __future__ import annotations

import shutil
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


def reserve_version(*, run_id: UUID, fence: int, model_name: str) -> ModelVersion:
    """Return the run's version, with the model's next number if it has none yet.

    Raises: StaleFenceError if the claim is no longer good.
    """
    check_public_name("model", model_name)
    with transaction.atomic():
        if not held_by(run_id, fence).select_for_update().exists():
            raise StaleFenceError(f"run {run_id}: fence {fence} is stale")
        RegisteredModel.objects.get_or_create(name=model_name)
        model = RegisteredModel.objects.select_for_update().get(name=model_name)
        found = ModelVersion.objects.filter(run_id=run_id).first()
        if found is not None:
            return found
        model.last_version += 1
        model.save(update_fields=["last_version"])
        return ModelVersion.objects.create(
            model=model,
            version=model.last_version,
            run_id=run_id,
            artifact_uri=join_uri(settings.ARTIFACT_STORE, model_name, str(model.last_version)),
        )


def complete_run(*, run_id: UUID, fence: int, version: ModelVersion, manifest: Manifest, digest: str) -> None:
    """Make the version ready and the run succeeded, both or neither.

    Raises: StaleFenceError if the claim is no longer good.
    """
    now = timezone.now()
    with transaction.atomic():
        run = held_by(run_id, fence).select_for_update().first()
        if run is None:
            raise StaleFenceError(f"run {run_id}: fence {fence} is stale")
        ModelVersion.objects.filter(pk=version.pk, state=VersionState.PENDING).update(
            state=VersionState.READY,
            artifact_digest=digest,
            framework=manifest.framework,
            task=manifest.task,
            manifest=msgspec.to_builtins(manifest),
            metrics=dict(manifest.metrics),
            created_at=now,
        )
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
