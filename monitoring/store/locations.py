"""Which files hold an endpoint's predictions: those of a period, without what a compacted file stands for."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

import structlog
from django.conf import settings

from aiplatform.errors import ArtifactError
from aiplatform.predictions import files
from aiplatform.predictions.files import StoredFile
from aiplatform.predictions.tables import facts_of
from monitoring.store.opening import open_parquet

COMPACTED = "compact-"  # begins the batch of a file that stands for others
log = structlog.get_logger(__name__)


def root() -> str:
    """Return the folder of all stored predictions."""
    return files.store_root(settings.ARTIFACT_STORE)


def list_period(endpoint: str, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[StoredFile]:
    """Give the files that may hold rows from `since` to before `until`, day by day, in order of time."""
    for day in files.list_days(root(), endpoint):
        if _is_outside(day, since, until):
            continue
        for file in live_files(files.list_files(root(), endpoint, day)):
            is_late = until is not None and file.first_ms >= milliseconds(until)
            is_early = since is not None and file.last_ms < milliseconds(since)
            if not (is_late or is_early):
                yield file


def live_files(found: Sequence[StoredFile]) -> list[StoredFile]:
    """Return the files of a day less those whose rows a compacted file holds."""
    replaced = {name for file in found if is_compacted(file) for name in replaced_by(file)}
    return [file for file in found if file.name not in replaced]


def is_compacted(file: StoredFile) -> bool:
    """Say whether a file stands for others."""
    return file.batch.startswith(COMPACTED)


def replaced_by(file: StoredFile) -> frozenset[str]:
    """Return the names of the files whose rows a compacted file holds; none if it cannot be read."""
    try:
        return _replaced_by(file.uri)
    except ArtifactError as error:
        log.error("stored_file_unreadable", uri=file.uri, error=error.message)
        return frozenset()


def milliseconds(time: datetime) -> int:
    """Return a time as file names have it."""
    return int(time.timestamp() * 1000)


@functools.lru_cache(maxsize=1024)
def _replaced_by(uri: str) -> frozenset[str]:
    with open_parquet(uri) as file:
        return frozenset(facts_of(file.schema_arrow).get("replaces", ()))


def _is_outside(day: date, since: datetime | None, until: datetime | None) -> bool:
    """Say whether a day and the one after hold nothing of a period: a file is filed by its first row."""
    is_early = since is not None and (since.astimezone(UTC).date() - day).days > 1
    return is_early or (until is not None and day > until.astimezone(UTC).date())
