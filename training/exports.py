"""Takes a version out of the registry in another format, with a report on what that changed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings

from aiplatform.artifacts import MANIFEST as MANIFEST_FILE
from aiplatform.artifacts import decode_manifest, fetch_artifact
from aiplatform.errors import ConflictError, InvalidConfigurationError, InvalidInputError
from training import selectors
from training.children import run_child
from training.dataset_registry import find_sources
from training.exporting.messages import ExportForm, ExportOrder, HeldOutData, ParityReport, Quantization
from training.import_publishing import RECIPE as IMPORTED
from training.imports import child_limits, work_folder
from training.models import ModelVersion
from training.runtimes.saved_model import copy_saved_model

log = structlog.get_logger(__name__)

CHILD = "training.exporting.child"
OUTPUT = "out"
MODEL_FILES = ("model.onnx", "model.tflite")


@dataclass(frozen=True, kw_only=True)
class ExportWish:
    """What to write where. `data_uri` or `samples` empty: the version's own training data, if it is known."""

    form: ExportForm
    target: Path
    quantize: Quantization = Quantization.NONE
    integer_io: bool = False
    data_uri: str = ""
    data_target: str = ""
    samples: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: a file (with its labels beside it, if there are any) or a folder."""

    version: ModelVersion
    target: Path
    labels_file: Path | None = None
    report: ParityReport | None = None


def export_converted(*, model_name: str, reference: str, wish: ExportWish) -> Exported:
    """Write a version in another format to a place where nothing is yet.

    Raises: ConflictError if something is there; InvalidConfigurationError if there is no way to the
    format; InvalidInputError if the conversion fails; ArtifactCorruptError if a byte differs.
    """
    check_wish(wish)
    version = selectors.get_version(model_name, reference)
    if wish.target.exists() or _has_other_labels(wish.target, version.labels):
        raise ConflictError(f"{wish.target}, or labels beside it, exist already; name a new file")
    artifact = fetch_artifact(version.artifact_uri, cache=settings.ARTIFACT_CACHE_DIR, digest=version.artifact_digest)
    if wish.form is ExportForm.SAVED_MODEL:
        return _copy_saved_model(version, artifact, wish)
    order = ExportOrder(
        artifact=str(artifact),
        manifest=decode_manifest((artifact / MANIFEST_FILE).read_bytes()),
        form=wish.form,
        quantize=wish.quantize,
        integer_io=wish.integer_io,
        data=choose_data(version, wish),
    )
    with work_folder() as folder:
        limits = child_limits()
        report = run_child(CHILD, order, ParityReport, folder=folder, limits=limits, keep_environment=True)
        labels_file = _move_out(folder / OUTPUT, wish.target, report.labels)
    log.info("version_converted", model=model_name, version=version.version, form=wish.form.value, to=str(wish.target))
    return Exported(version=version, target=wish.target, labels_file=labels_file, report=report)


def check_wish(wish: ExportWish) -> None:
    """Raise InvalidConfigurationError for wishes that contradict each other."""
    if wish.quantize is not Quantization.NONE and wish.form is not ExportForm.LITERT:
        raise InvalidConfigurationError(f"--quantize {wish.quantize} is for --format litert, not {wish.form}")
    if wish.integer_io and wish.quantize is not Quantization.INT8:
        raise InvalidConfigurationError("--int8-io is for --quantize int8")
    if wish.data_uri and wish.samples:
        raise InvalidConfigurationError("name --data or --samples, not both")


def choose_data(version: ModelVersion, wish: ExportWish) -> HeldOutData | None:
    """Return what to calibrate and measure with: what was named, else the version's own data, if any is known."""
    lineage = version.lineage
    seed = int(lineage.get("seed", 0))
    if wish.samples:
        return HeldOutData(samples=str(wish.samples.absolute()), target=wish.data_target, seed=seed)
    if wish.data_uri:
        named = find_sources(wish.data_uri, wish.data_target)
        return HeldOutData(uri=named.uri, target=named.target, seed=seed)
    own = str(lineage.get("data_uri", ""))
    if lineage.get("recipe") == IMPORTED:
        if own and Path(own).is_file():
            target = str(lineage.get("parameters", {}).get("target", ""))
            return HeldOutData(samples=own, target=target, seed=seed, is_own=True)
        _refuse_int8_without_data(version, wish)
        return None
    target = version.run.target if version.run else ""
    trained_on = str(lineage.get("data_fingerprint", ""))
    sources = find_sources(own, target)
    return HeldOutData(uri=sources.uri, target=sources.target, seed=seed, fingerprint=trained_on, is_own=True)


def _refuse_int8_without_data(version: ModelVersion, wish: ExportWish) -> None:
    if wish.quantize is Quantization.INT8:
        raise InvalidConfigurationError(
            f"{version.model.name} version {version.version} was imported without sample data that is still there; "
            "int8 needs representative rows: name them with --data or --samples"
        )


def _copy_saved_model(version: ModelVersion, artifact: Path, wish: ExportWish) -> Exported:
    if version.manifest.get("model_format") != "saved_model":
        raise InvalidConfigurationError(
            f"{version.model.name} version {version.version} is {version.manifest.get('model_format')}, no SavedModel"
        )
    try:
        wish.target.mkdir(parents=True)
        copy_saved_model(artifact / "model", wish.target)
    except OSError as error:
        raise InvalidInputError(f"could not write to {wish.target}: {error}") from error
    return Exported(version=version, target=wish.target)


def _move_out(made: Path, target: Path, labels: tuple[str, ...]) -> Path | None:
    """Move what was made to its place: the file under the wanted name, what it refers to beside it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in sorted(made.iterdir()):
            place = target if path.name in MODEL_FILES else target.parent / path.name
            if place.exists():
                raise ConflictError(f"{place} exists already; name a file in another folder")
            shutil.move(path, place)
        if not labels:
            return None
        _labels_file(target).write_text(_labels_text(labels))
    except OSError as error:
        raise InvalidInputError(f"could not write to {target}: {error}") from error
    return _labels_file(target)


def _has_other_labels(target: Path, labels: Sequence[str]) -> bool:
    file = _labels_file(target)
    return file.exists() and (not file.is_file() or file.read_text("utf-8", "replace") != _labels_text(labels))


def _labels_text(labels: Sequence[str]) -> str:
    return "".join(f"{label}\n" for label in labels)


def _labels_file(target: Path) -> Path:
    return target.with_suffix(".labels.txt")
