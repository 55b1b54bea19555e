"""From an examined model to a version of the registry that no run made.

As with a trained model the number is reserved first, the artifact moved into its place in one
step, then the version made ready. An import that dies between leaves a pending version, which
nobody sees; the next import of that model clears it away.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from django.utils import timezone

from aiplatform.artifact_staging import StagedArtifact, stage_artifact
from aiplatform.artifacts import PROFILE as ARTIFACT_PROFILE
from aiplatform.artifacts import (
    WARMUP_INPUTS,
    WARMUP_OUTPUTS,
    ImageInput,
    Lineage,
    Manifest,
    read_manifest,
)
from aiplatform.calibration import CALIBRATION as ARTIFACT_CALIBRATION
from aiplatform.errors import ArtifactError, ConflictError
from training import registry
from training.importing import messages
from training.importing.messages import Examined
from training.models import ModelVersion
from training.publishing import Origin, clear_place
from training.runtimes.base import ModelForm
from training.states import VersionState

log = structlog.get_logger(__name__)

RECIPE = "import"


@dataclass(frozen=True, kw_only=True)
class ImportedModel:
    """What a child has found out and written into `folder`, and what the lineage shall say of it."""

    form: ModelForm
    examined: Examined
    image: ImageInput | None
    folder: Path
    source: str
    data_uri: str
    target: str
    fingerprint: str


def publish_import(name: str, imported: ImportedModel, origin: Origin, *, scratch: Path) -> ModelVersion:
    """Write the artifact and make it the next version of a model; nothing stays if that fails.

    Raises: ArtifactError if the store refuses; ConflictError if it took so long that another cleared it away.
    """
    version = registry.reserve_import(model_name=name)
    try:
        with stage_artifact(version.artifact_uri, scratch=scratch) as staged:
            _fill(staged, imported)
            staged.commit(_manifest(name, version, imported, origin))
        manifest, digest = read_manifest(version.artifact_uri)
    except (OSError, ArtifactError) as error:
        if not ModelVersion.objects.filter(pk=version.pk).exists():  # it went with what was being written
            raise registry.import_given_up(name, version) from error
        _forget(version)
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"could not write the artifact to {version.artifact_uri}: {error}") from error
    try:
        return registry.complete_import(version=version, manifest=manifest, digest=digest)
    except ConflictError:
        _clear(version.artifact_uri)
        raise


def clear_abandoned_imports(name: str, *, older_s: float) -> None:
    """Remove what imports of a model left that died long ago between number and readiness."""
    before = timezone.now() - timedelta(seconds=older_s)
    pending = ModelVersion.objects.filter(model__name=name, run=None, state=VersionState.PENDING, created_at__lt=before)
    for version in pending:
        log.warning("abandoned_import_cleared", model=name, version=version.version)
        _forget(version)


def _forget(version: ModelVersion) -> None:
    """Remove a version that is not ready, then its files: in this order nothing can become ready without them."""
    forgotten, _ = ModelVersion.objects.filter(pk=version.pk, state=VersionState.PENDING).delete()
    if forgotten:
        _clear(version.artifact_uri)


def _clear(uri: str) -> None:
    try:
        clear_place(uri)
    except ArtifactError as error:
        log.warning("remnant_left", uri=uri, error=error.message)


def _fill(staged: StagedArtifact, imported: ImportedModel) -> None:
    shutil.move(imported.folder / messages.MODEL_FOLDER, staged.folder / "model")
    places = {messages.WARMUP_INPUTS: WARMUP_INPUTS, messages.WARMUP_OUTPUTS: WARMUP_OUTPUTS}
    if imported.examined.sample_rows:
        places[messages.PROFILE] = ARTIFACT_PROFILE
    if (imported.folder / messages.CALIBRATION).exists():
        places[messages.CALIBRATION] = ARTIFACT_CALIBRATION
    for made, place in places.items():
        target = staged.folder / place
        target.parent.mkdir(exist_ok=True)
        shutil.move(imported.folder / made, target)


def _manifest(name: str, version: ModelVersion, imported: ImportedModel, origin: Origin) -> Manifest:
    examined = imported.examined
    framework, model_format = messages.KINDS[imported.form]
    parameters: dict[str, Any] = {"source": imported.source, "format": imported.form.value}
    if imported.examined.sample_rows:
        parameters |= {"sample_rows": examined.sample_rows, "target": imported.target}
    lineage = Lineage(
        run_id="",
        recipe=RECIPE,
        parameters=parameters,
        data_uri=imported.data_uri,
        data_fingerprint=imported.fingerprint,
        code_commit=origin.code_commit,
        packages=origin.packages,
        seed=0,
    )
    return Manifest(
        name=name,
        version=version.version,
        framework=framework,
        model_format=model_format,
        task=examined.task,
        signature=examined.signature,
        lineage=lineage,
        labels=examined.labels,
        metrics=dict(examined.metrics),
        image=imported.image,
        created_at=timezone.now().isoformat(),
    )
