"""Compares embeddings as vectors: a sample of those in the prediction store with the sample in the artifact.

Dimensions may each look as they did while they no longer belong together; the maximum mean discrepancy sees that. It
needs whole vectors, which windows do not have: it is told where the prediction store keeps them.
"""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog
from django.conf import settings

from aiplatform.artifacts import fetch_artifact, read_embeddings
from aiplatform.embeddings import EMBEDDING
from aiplatform.errors import PlatformError
from aiplatform.predictions.files import StoredFile
from monitoring.drift.mmd import LEAST_SIGNIFICANCE, MAX_ROWS, run_mmd_test
from monitoring.drift.results import TestResult
from monitoring.models import ServedVersion
from monitoring.selectors import Period
from monitoring.store.locations import list_period
from monitoring.store.reading import Selection, read_files
from monitoring.windows import minute_of

MINUTE = timedelta(minutes=1)
MAX_FILES = 16  # of a period's, spread evenly over it
Array = np.ndarray[Any, Any]
log = structlog.get_logger(__name__)


def compare_embeddings(served: ServedVersion, period: Period) -> TestResult | None:
    """Return the test of a period's embeddings; None if none are kept, or there is nothing to compare them with.

    An answer is good for the minute in which it was made. Never raises for a store that cannot be read.
    """
    try:
        return _compare(
            served.endpoint, served.version, served.artifact_uri, served.artifact_digest, period.start,
            minute_of(period.end) + MINUTE, settings.DRIFT_SIGNIFICANCE, settings.DRIFT_MIN_SAMPLES,
        )  # fmt: skip
    except PlatformError as error:
        log.warning("embeddings_not_compared", endpoint=served.endpoint, version=served.version, error=error.message)
        return None


@functools.lru_cache(maxsize=64)
def _compare(
    endpoint: str, version: int, uri: str, digest: str, since: datetime, until: datetime, significance: float,
    min_samples: int,
) -> TestResult | None:  # fmt: skip
    baseline = _baseline(uri, digest)
    if baseline is None:
        return None
    window = sample_embeddings(endpoint, digest, since=since, until=until, dimensions=baseline.shape[1])
    if not len(window):
        return None
    return run_mmd_test(
        baseline, window,
        significance=max(significance, LEAST_SIGNIFICANCE),
        min_samples=min(min_samples, MAX_ROWS),
    )  # fmt: skip


def sample_embeddings(
    endpoint: str, digest: str, *, since: datetime, until: datetime, dimensions: int, limit: int = MAX_ROWS
) -> Array:
    """Return kept embeddings of an artifact in a period, shape (at most `limit`, dimensions), the same each time.

    Raises: ArtifactError if the store cannot be read.
    """
    selection = Selection(
        since=since, until=until, columns=("prediction_id", EMBEDDING), limit=limit, order="md5(prediction_id)",
        where=f"artifact_digest = '{_quoted(digest)}' AND {EMBEDDING} IS NOT NULL",
    )  # fmt: skip
    found: list[tuple[bytes, Array]] = []
    for _, batch in read_files(_spread(list(list_period(endpoint, since=since, until=until))), selection):
        vectors = _vectors(batch.column(EMBEDDING), dimensions)
        places = [hashlib.md5(name.encode(), usedforsecurity=False).digest() for name in _ids(batch)]
        found += zip(places, vectors, strict=True) if vectors is not None else ()
    chosen = sorted(found, key=lambda pair: pair[0])[:limit]  # chance, for ids have nothing to do with what was asked
    return np.array([vector for _, vector in chosen], dtype=np.float64).reshape(len(chosen), dimensions)


@functools.lru_cache(maxsize=64)
def _baseline(uri: str, digest: str) -> Array | None:
    return read_embeddings(fetch_artifact(uri, cache=settings.ARTIFACT_CACHE_DIR, digest=digest))


def _spread(files: list[StoredFile]) -> list[StoredFile]:
    if len(files) <= MAX_FILES:
        return files
    return [files[i] for i in np.linspace(0, len(files) - 1, MAX_FILES).round().astype(int)]


def _ids(batch: Any) -> list[str]:
    names: list[str] = batch.column("prediction_id").to_pylist()
    return names


def _vectors(column: Any, dimensions: int) -> Array | None:
    """Return a column's vectors, shape (rows, dimensions); None if they are of another length."""
    flat = column.flatten() if hasattr(column, "value_lengths") else column
    values: Array = np.asarray(flat.to_numpy(zero_copy_only=False))
    return values.reshape(-1, dimensions) if values.size == len(column) * dimensions else None


def _quoted(text: str) -> str:
    return text.replace("'", "''")
