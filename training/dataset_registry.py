"""Registers data sets, pins orders to their versions, and finds the sources behind them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from aiplatform.contracts.monitoring import CompareProfiles
from aiplatform.errors import InvalidInputError, NotFoundError
from aiplatform.services import monitoring_client
from training.data.cache import DataCache
from training.data.combined import combine_uris, is_combined, split_uri
from training.data.reading import SourceReport
from training.data.registered import LATEST, add_options, is_registered, parse_reference
from training.data.sql_places import check_no_password, parse_databases
from training.dataset_models import Dataset, DatasetVersion
from training.names import check_public_name

if TYPE_CHECKING:
    from training.data.summary import DatasetSummary

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the data of an order lies. `expected`: fingerprints by source, of registered ones."""

    uri: str
    target: str
    expected: Mapping[str, str] = field(default_factory=dict)


def register_dataset(
    *, name: str, uri: str, target: str = "", description: str = "", actor: str = ""
) -> tuple[DatasetVersion, bool]:
    """Read a source and keep what it is as the next version; return it, and whether it is new.

    The same content from the same source is the version that it was. Raises: InvalidInputError naming what is wrong
    with name or data; UnavailableError if the source cannot be reached.
    """
    check_public_name("data set", name)
    check_no_password(uri)
    if is_combined(uri) or is_registered(uri):
        raise InvalidInputError(f"a data set is registered from one source, not from '{uri}'")
    reports: list[SourceReport] = []
    summary, fingerprint = _read(uri, target, reports)
    with transaction.atomic():
        dataset, _ = Dataset.objects.get_or_create(name=name)
        Dataset.objects.filter(pk=dataset.pk).update(last_version=F("last_version"))  # locks the row
        dataset.refresh_from_db()
        known = dataset.versions.filter(fingerprint=fingerprint, source_uri=uri, target=target).first()
        if description:
            Dataset.objects.filter(pk=dataset.pk).update(description=description)
        if known is not None:
            return known, False
        dataset.last_version += 1
        Dataset.objects.filter(pk=dataset.pk).update(last_version=dataset.last_version)
        version = DatasetVersion.objects.create(
            dataset=dataset, version=dataset.last_version, source_uri=uri, target=target, fingerprint=fingerprint,
            kind=summary.kind, rows=summary.rows, size_bytes=summary.size_bytes, schema=summary.schema,
            profile=summary.profile, report=[report.to_dict() for report in reports], created_by=actor,
        )  # fmt: skip
    log.info("dataset_registered", dataset=name, version=version.version, fingerprint=fingerprint, actor=actor)
    return version, True


def _read(uri: str, target: str, reports: list[SourceReport]) -> tuple[DatasetSummary, str]:
    from training.data.sources import load_dataset  # who only orders reads nothing
    from training.data.summary import summarise

    folder = Path(settings.TRAINING_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".dataset-") as scratch:
        data = load_dataset(
            uri,
            target=target or None,
            seed=0,
            scratch=Path(scratch),
            cache=data_cache(),
            databases=parse_databases(settings.DATA_DATABASES),
            memory_bytes=settings.DATA_MEMORY_BYTES,
            reports=reports,
        )
        return summarise(data), data.fingerprint


def data_cache() -> DataCache | None:
    """Return where downloads of training data are kept; None if they are not."""
    limit_bytes = settings.DATA_CACHE_BYTES
    return DataCache(folder=settings.DATA_CACHE_DIR, limit_bytes=limit_bytes) if limit_bytes > 0 else None


def list_datasets() -> QuerySet[Dataset]:
    """Return the data sets by name."""
    return Dataset.objects.order_by("name")


def get_dataset(name: str) -> Dataset:
    """Return a data set.

    Raises: NotFoundError if there is none.
    """
    found = Dataset.objects.filter(name=name).first()
    if found is None:
        raise NotFoundError(f"there is no data set '{name}'")
    return found


def list_versions(name: str) -> QuerySet[DatasetVersion]:
    """Return a data set's versions, newest first, without their profiles."""
    versions = DatasetVersion.objects.filter(dataset__name=name).select_related("dataset")
    return versions.defer("profile").order_by("-version")


def get_version(name: str, reference: str = LATEST) -> DatasetVersion:
    """Return a version by its number, or the newest.

    Raises: NotFoundError naming what is not there; InvalidInputError for another reference.
    """
    versions = DatasetVersion.objects.filter(dataset__name=name).select_related("dataset").order_by("-version")
    if reference != LATEST and not reference.isdigit():
        raise InvalidInputError(f"a version of a data set is a number or '{LATEST}', not '{reference}'")
    found = versions.first() if reference == LATEST else versions.filter(version=int(reference[:9])).first()
    if found is None:
        get_dataset(name)
        raise NotFoundError(f"data set '{name}' has no version '{reference}'")
    return found


def find_versions(data_uri: str) -> list[DatasetVersion]:
    """Return the versions that a data URI names, in its order.

    Raises: NotFoundError for one that is not there.
    """
    references = [parse_reference(uri) for uri in split_uri(data_uri) if is_registered(uri)]
    return [get_version(reference.name, reference.version) for reference in references]


def pin_order(data_uri: str, target: str) -> tuple[str, str]:
    """Return an order's data URI with versions for names, and its target: its own, else that of the data set.

    Raises: NotFoundError for a data set that is not there.
    """
    pinned = []
    for uri in split_uri(data_uri):
        if is_registered(uri):
            reference = parse_reference(uri)
            version = get_version(reference.name, reference.version)
            uri, target = reference.pinned(version.version), target or version.target
        pinned.append(uri)
    return (combine_uris(pinned) if is_combined(data_uri) else pinned[0]), target


def find_sources(data_uri: str, target: str) -> Sources:
    """Return the sources behind an order's data URI, and what their fingerprints were when they were registered.

    Raises: NotFoundError for a data set that is not there.
    """
    found, expected = [], {}
    for uri in split_uri(data_uri):
        if is_registered(uri):
            reference = parse_reference(uri)
            version = get_version(reference.name, reference.version)
            uri, target = add_options(version.source_uri, reference.options), target or version.target
            expected[uri] = version.fingerprint
        found.append(uri)
    return Sources(uri=combine_uris(found) if is_combined(data_uri) else found[0], target=target, expected=expected)


@dataclass(frozen=True, kw_only=True)
class DatasetDifference:
    """Two versions beside each other. `drift` is monitoring's drift table, as JSON."""

    before: DatasetVersion
    after: DatasetVersion
    is_same_content: bool
    added_inputs: tuple[str, ...]
    removed_inputs: tuple[str, ...]
    changed_inputs: tuple[str, ...]
    added_labels: tuple[str, ...]
    removed_labels: tuple[str, ...]
    rows: tuple[int, int]
    drift: Mapping[str, Any]


def compare_versions(before: DatasetVersion, after: DatasetVersion) -> DatasetDifference:
    """Return what differs between two versions; monitoring's own tests say which columns drifted.

    Raises: PlatformError if monitoring cannot be asked.
    """
    inputs = [{i["name"]: (i["dtype"], i["shape"]) for i in version.schema["inputs"]} for version in (before, after)]
    labels = [version.schema["labels"] for version in (before, after)]
    drift = monitoring_client().compare_profiles(CompareProfiles(baseline=before.profile, window=after.profile))
    return DatasetDifference(
        before=before,
        after=after,
        is_same_content=before.fingerprint == after.fingerprint,
        added_inputs=tuple(sorted(inputs[1].keys() - inputs[0].keys())),
        removed_inputs=tuple(sorted(inputs[0].keys() - inputs[1].keys())),
        changed_inputs=tuple(sorted(n for n in inputs[0].keys() & inputs[1].keys() if inputs[0][n] != inputs[1][n])),
        added_labels=tuple(sorted(labels[1].keys() - labels[0].keys())),
        removed_labels=tuple(sorted(labels[0].keys() - labels[1].keys())),
        rows=(before.rows, after.rows),
        drift=drift.table,
    )
