"""Brings a user's own model into the registry: a private copy, examined by a child, published as a version."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import structlog
from django.conf import settings

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidInputError, PlatformError, UnavailableError
from training import provenance
from training.children import ChildLimits, run_child
from training.data.fetch import local_copy
from training.deployment import order_deployment
from training.import_publishing import ImportedModel, clear_abandoned_imports, publish_import
from training.importing.messages import Examined, ImportOrder
from training.importing.sources import copy_source, find_form, fingerprint_source, origin_of
from training.models import ModelVersion
from training.names import check_public_name
from training.publishing import Origin
from training.runtimes.base import GivenSignature, ModelForm
from training.runtimes.remote import FILE as REMOTE_FILE
from training.runtimes.remote import RemoteModel

log = structlog.get_logger(__name__)

CHILD = "training.importing.child"
SOURCE = "source"


class NotDeployedError(UnavailableError):
    """A version was registered, and inference has not taken its deployment."""


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """What to bring in: a path or URI, or a model of another server. `form` None: found from the file."""

    place: str = ""
    remote: RemoteModel | None = None
    form: ModelForm | None = None


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the file does not say of itself."""

    given: GivenSignature = field(default_factory=GivenSignature)
    signature_name: str = ""
    labels: tuple[str, ...] = ()
    task: str = ""
    image: ImageInput | None = None
    samples: Path | None = None
    target: str = ""


def import_model(
    *, name: str, source: ModelSource, description: Description, actor: str = ""
) -> tuple[ModelVersion, Examined]:
    """Register a model as the next version of `name`, and return it with what was found out.

    Raises: InvalidInputError naming what is wrong with the file or with what was said of it;
    UnavailableError if it cannot be reached, or takes too long to read. Nothing is registered then.
    """
    check_public_name("model", name)
    clear_abandoned_imports(name, older_s=2 * settings.MODEL_WORK_TIMEOUT_S)
    with work_folder() as folder:
        form, examined = _examine(source, description, folder)
        imported = ImportedModel(
            form=form,
            examined=examined,
            image=description.image,
            folder=folder,
            source=source.remote.url if source.remote else Path(source.place).name,
            data_uri=str(description.samples.absolute()) if description.samples else "",
            target=description.target,
            fingerprint=fingerprint_source(folder / SOURCE),
        )
        version = publish_import(name, imported, _origin(), scratch=folder)
    log.info("model_imported", model=name, version=version.version, form=form.value, actor=actor)
    return version, examined


def deploy_import(version: ModelVersion, *, endpoint: str, actor: str) -> None:
    """Give all traffic of an endpoint to an imported version.

    Raises: NotDeployedError if inference did not take the order; the version stays registered.
    """
    check_public_name("endpoint", endpoint)
    try:
        order_deployment(version, endpoint=endpoint, actor=actor, reason="imported")
    except PlatformError as error:
        name = version.model.name
        raise NotDeployedError(
            f"{name} version {version.version} is registered and not deployed: {error.message}\ndeploy it with: "
            f"manage.py endpoints deploy {endpoint} --model {name} --version {version.version}"
        ) from error


def child_limits() -> ChildLimits:
    """Return what a process that works on a model file may take."""
    return ChildLimits(timeout_s=settings.MODEL_WORK_TIMEOUT_S, memory_mib=settings.MODEL_WORK_MEMORY_MB)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder that nobody else reads, on the disk where the artifacts' downloads lie."""
    parent = Path(settings.DATA_DIR) / "model-work"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def _examine(source: ModelSource, description: Description, folder: Path) -> tuple[ModelForm, Examined]:
    """Copy the source, so that what is examined is what is kept, and have a child examine the copy."""
    private = folder / SOURCE
    private.mkdir()
    order = ImportOrder(
        form=ModelForm.REMOTE,
        source=str(private / REMOTE_FILE),
        given=description.given,
        signature_name=description.signature_name,
        labels=description.labels,
        task=description.task,
        image=description.image,
        samples=_copy_samples(description.samples, folder),
        target=description.target,
    )
    if source.remote is not None:
        (private / REMOTE_FILE).write_bytes(msgspec.json.encode(source.remote))
        return order.form, run_child(CHILD, order, Examined, folder=folder, limits=child_limits())
    with local_copy(source.place, scratch=folder) as path:
        form = find_form(path, source.form)
        copied = copy_source(path, form, private)
        order = replace(order, form=form, source=str(copied), origin=str(origin_of(path)))
        return form, run_child(CHILD, order, Examined, folder=folder, limits=child_limits())


def _copy_samples(samples: Path | None, folder: Path) -> str:
    if samples is None:
        return ""
    target = folder / f"samples{samples.suffix}"
    try:
        shutil.copyfile(samples, target)
    except OSError as error:
        raise InvalidInputError(f"samples '{samples}' cannot be read: {error}") from error
    return str(target)


def _origin() -> Origin:
    commit = provenance.code_commit(settings.BASE_DIR, known=settings.CODE_COMMIT)
    return Origin(code_commit=commit, packages=provenance.package_versions())
