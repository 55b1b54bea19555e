"""From a trained model to a version of the registry, so that dying anywhere leaves at most one.

The number is reserved first, the artifact moved into its place in one step, then version and run
are completed together. A later attempt finds its own artifact in place and only completes; what a
dead attempt left half done is cleared away, since no ready version can lie there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings
from django.utils import timezone

from aiplatform.artifacts import (
    Lineage,
    Manifest,
    fetch_artifact,
    read_manifest,
    stage_artifact,
)
from aiplatform.errors import ArtifactError
from aiplatform.storage import is_remote, local_path, open_filesystem, store_errors
from training.leases import Claim
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
    version = reserve_version(run_id=run.pk, fence=claim.fence, model_name=run.model_name)
    clear_remnant(version)
    manifest = build_manifest(run, version, trained, origin)
    try:
        with stage_artifact(version.artifact_uri, scratch=scratch) as staged:
            trained.write_to(staged)
            staged.commit(manifest)
    except OSError as error:
        raise ArtifactError(f"could not write the artifact to {version.artifact_uri}: {error}") from error
    stored, digest = read_manifest(version.artifact_uri)
    complete_run(run_id=run.pk, fence=claim.fence, version=version, manifest=stored, digest=digest)
    return version


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


def clear_remnant(version: ModelVersion) -> None:
    """Remove what lies where a pending version is to be written.

    Raises: ArtifactError if it cannot be removed.
    """
    uri = version.artifact_uri
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
