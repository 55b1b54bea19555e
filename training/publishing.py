"""From a trained model to a version of the registry, so that dying anywhere leaves at most one.

The number is reserved first, the artifact moved into its place in one step, then version and run
are completed together. A later attempt adopts the artifact that it finds in the place of the one before, or
takes a place of its own and clears that one away.

An attempt that is taken for dead may be only asleep, and wake at any of these steps. So no place is ever written by
two attempts, and the version's row says whose place counts: what lies in any other is of no use to anybody.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings
from django.utils import timezone

from aiplatform.artifact_staging import stage_artifact, staging_left
from aiplatform.artifacts import Lineage, Manifest, fetch_artifact, read_manifest
from aiplatform.errors import ArtifactError
from aiplatform.storage import is_remote, local_path, open_filesystem, store_errors
from training.leases import Claim, StaleFenceError, held_by, write_run
from training.models import ModelVersion, Run
from training.recipes.api import TrainedModel
from training.registry import complete_run, reserve_version
from training.states import VersionState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an attempt knows of its surroundings, for the lineage."""

    code_commit: str
    packages: dict[str, str]


def publish_model(run: Run, claim: Claim, trained: TrainedModel, origin: Origin, *, scratch: Path) -> ModelVersion:
    """Write the artifact and complete the run with it.

    Raises: ArtifactError if the store refuses; StaleFenceError if the claim is no longer good.
    """
    reserved = reserve_version(run_id=run.pk, fence=claim.fence, model_name=run.model_name)
    version = reserved.version
    for place in filter(None, (reserved.abandoned, version.artifact_uri)):
        clear_place(place)
    manifest = build_manifest(run, version, trained, origin)
    try:
        with stage_artifact(version.artifact_uri, scratch=scratch) as staged:
            trained.write_to(staged)
            write_run(run.pk, claim.fence)  # whoever is stale by now need not begin
            staged.commit(manifest)
        stored, digest = read_manifest(version.artifact_uri)
        complete_run(run_id=run.pk, fence=claim.fence, version=version, manifest=stored, digest=digest)
    except (OSError, ArtifactError) as error:
        if held_by(run.pk, claim.fence).exists():
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"could not write the artifact to {version.artifact_uri}: {error}") from error
        _leave_place(version)  # whoever has the run now has cleared away what was being written
        raise StaleFenceError(f"run {run.pk}: fence {claim.fence} is stale") from error
    except StaleFenceError:
        _leave_place(version)
        raise
    return version


def _leave_place(version: ModelVersion) -> None:
    """Clear this attempt's place, unless the version's row still names it: then the next one adopts or clears it."""
    if ModelVersion.objects.filter(pk=version.pk, artifact_uri=version.artifact_uri).exists():
        return
    try:
        clear_place(version.artifact_uri)
    except ArtifactError as error:
        log.warning("remnant_left", uri=version.artifact_uri, error=error.message)


def adopt_published(run: Run, claim: Claim) -> ModelVersion | None:
    """Complete the run with the artifact that an earlier attempt put in place, if there is a sound one."""
    version = ModelVersion.objects.filter(run=run, state=VersionState.PENDING).first()
    if version is None:
        return None
    try:
        manifest, digest = read_manifest(version.artifact_uri)
        fetch_artifact(version.artifact_uri, cache=settings.ARTIFACT_CACHE_DIR, digest=digest)
    except ArtifactError as error:
        log.info("nothing_to_adopt", run=str(run.pk), reason=str(error))
        return None
    if manifest.lineage.run_id != str(run.pk) or manifest.version != version.version:
        return None
    complete_run(run_id=run.pk, fence=claim.fence, version=version, manifest=manifest, digest=digest)
    return version


def clear_place(uri: str) -> None:
    """Remove what lies in a place that no ready version has, and what was being written for it.

    Raises: ArtifactError if it cannot be removed.
    """
    for folder in staging_left(uri):
        log.warning("remnant_removed", uri=str(folder))
        shutil.rmtree(folder, ignore_errors=True)  # its writer may be alive after all, and remove it too
    with store_errors(f"could not clear {uri} of what a dead attempt left there"):
        if is_remote(uri):
            filesystem, root = open_filesystem(uri)
            if filesystem.exists(root):
                log.warning("remnant_removed", uri=uri)
                filesystem.rm(root, recursive=True)
        elif local_path(uri).exists():
            log.warning("remnant_removed", uri=uri)
            shutil.rmtree(local_path(uri))


def build_manifest(run: Run, version: ModelVersion, trained: TrainedModel, origin: Origin) -> Manifest:
    """Return what the artifact says of itself; checksums are added when it is committed."""
    lineage = Lineage(
        run_id=str(run.pk),
        recipe=run.recipe,
        parameters=dict(trained.parameters),
        data_uri=run.data_uri,
        data_fingerprint=trained.data_fingerprint,
        code_commit=origin.code_commit,
        packages=origin.packages,
        seed=run.seed,
    )
    return Manifest(
        name=run.model_name,
        version=version.version,
        framework=trained.framework,
        model_format=trained.model_format,
        task=trained.task,
        signature=trained.signature,
        lineage=lineage,
        labels=tuple(trained.labels),
        metrics={name: float(value) for name, value in trained.metrics.items()},
        image=trained.image,
        text_bytes=dict(trained.text_bytes),
        embedding=trained.embedding,
        created_at=timezone.now().isoformat(),
    )
