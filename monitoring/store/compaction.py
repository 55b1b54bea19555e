"""Joins the small files of a day into large ones, with the truth known by then.

The new file names those whose rows it holds; only when it is there are they removed. Readers leave out
what a file names, so a crash between the two shows no row twice, and a batch that is delivered
again after it was joined is left out too, and removed by the next run.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings

from aiplatform.errors import ArtifactCorruptError
from aiplatform.predictions import files
from aiplatform.predictions.files import StoredFile
from aiplatform.predictions.tables import describe_file, facts_of
from monitoring import metrics
from monitoring.models import Feedback
from monitoring.store.locations import COMPACTED, is_compacted, live_files, replaced_by, root
from monitoring.store.opening import open_parquet
from monitoring.store.reading import Selection, note_problem, read_file
from monitoring.store.rewriting import write_batches
from monitoring.store.tombstones import id_range

TARGET_BYTES = 64 * 1024 * 1024  # of the files that become one
RELABEL_AFTER = timedelta(hours=12)  # less than PENDING_FEEDBACK_HOURS, so that no label goes before it is here
log = structlog.get_logger(__name__)


def list_days_to_compact(endpoint: str, *, now: datetime) -> Iterator[date]:
    """Give the days of an endpoint that are over, the oldest first."""
    for day in files.list_days(root(), endpoint):
        end = datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1)
        if now >= end + timedelta(seconds=settings.STORE_COMPACT_AFTER_S):
            yield day


def compact_day(endpoint: str, day: date, *, now: datetime) -> int:
    """Join the files of a day that are small or lack the truth; return how many files were joined.

    Raises: ArtifactError if the store cannot be read or written.
    """
    found = files.list_files(root(), endpoint, day)
    live = live_files(found)
    for file in set(found) - set(live):
        files.remove_file(file.uri)
    joined = 0
    for group in _groups(live, now):
        joined += _join(group, now)
    return joined


def _groups(live: list[StoredFile], now: datetime) -> list[list[StoredFile]]:
    """Return which files become one each: those of one schema, up to a size; alone only with new labels."""
    by_schema: dict[str, list[StoredFile]] = {}
    for file in live:
        try:
            key, is_stale = _look(file, now)
        except ArtifactCorruptError as error:
            note_problem(file, error)
            continue
        if is_stale or file.size_bytes < TARGET_BYTES // 2:
            by_schema.setdefault(key, []).append(file)
    groups = [group for some in by_schema.values() for group in _filled(some)]
    return [group for group in groups if len(group) > 1 or _look(group[0], now)[1]]


def _look(file: StoredFile, now: datetime) -> tuple[str, bool]:
    """Return what a file must share with those it is joined with, and whether there are new labels for it."""
    with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
        schema = source.schema_arrow
        facts = facts_of(schema)
    fields = str([(f.name, str(f.type), f.metadata) for f in schema])
    return f"{facts.get('class_labels')} {fields}", _has_new_labels(file, facts.get("labelled_at") or "", now)


def _has_new_labels(file: StoredFile, labelled_at: str, now: datetime) -> bool:
    first, last = id_range(file)
    known = Feedback.objects.filter(prediction_key__gte=first, prediction_key__lt=last)
    if not labelled_at:
        return known.exists()
    before = datetime.fromisoformat(labelled_at)
    return now - before >= RELABEL_AFTER and known.filter(received_at__gte=before).exists()


def _filled(some: list[StoredFile]) -> Iterator[list[StoredFile]]:
    group: list[StoredFile] = []
    for file in sorted(some):
        if group and sum(f.size_bytes for f in group) + file.size_bytes > TARGET_BYTES:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _join(group: list[StoredFile], now: datetime) -> int:
    """Write one file in the place of some. A damaged one is found out, left as it is, and the others joined."""
    while group:
        try:
            return _write(group, now)
        except ArtifactCorruptError as error:
            bad = next((file for file in group if file.uri in error.message), None)
            if bad is None:
                raise
            note_problem(bad, error)
            group = [file for file in group if file is not bad]
    return 0


def _write(group: list[StoredFile], now: datetime) -> int:
    first = group[0]
    with open_parquet(first.uri, size_bytes=first.size_bytes) as source:
        schema = source.schema_arrow
    replaces = sorted({name for file in group for name in (file.name, *_earlier(file))})
    uri = files.file_uri(
        root(), endpoint=first.endpoint, day=first.day, first_ms=first.first_ms,
        last_ms=max(file.last_ms for file in group), batch=f"{COMPACTED}{uuid.uuid4().hex}",
    )  # fmt: skip
    facts = describe_file(
        class_labels=facts_of(schema).get("class_labels", ()), replaces=replaces, labelled_at=now.isoformat()
    )  # fmt: skip
    rows = write_batches(uri, schema, _rows(group), facts=facts)
    for file in group:
        files.remove_file(file.uri)
    metrics.STORE_COMPACTED_FILES.inc(len(group))
    log.info("store_compacted", endpoint=first.endpoint, day=str(first.day), files=len(group), rows=rows)
    return len(group)


def _earlier(file: StoredFile) -> frozenset[str]:
    return replaced_by(file) if is_compacted(file) else frozenset()


def _rows(group: list[StoredFile]) -> Iterator[Any]:
    for file in group:
        yield from read_file(file, Selection())
