"""The content of a window in memory: built from a batch, merged, read from and written to its row."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import datasketches
import structlog

from aiplatform.profiles import KLL_K, DataProfile, FeatureProfile
from monitoring.models import Window

MINUTE_S = 60
log = structlog.get_logger(__name__)

# What ingestion writes; the counts of labels belong to feedback.
INGESTED_FIELDS = (
    "rows", "requests", "errors", "rejected", "latency", "profile", "confidence_sum", "confidence_count",
)  # fmt: skip


def minute_of(time: datetime) -> datetime:
    """Return the start of the minute that holds a time."""
    return time.replace(second=0, microsecond=0)


def minute_start(minute: int) -> datetime:
    """Return the start of a minute given as minutes since the epoch."""
    return datetime.fromtimestamp(minute * MINUTE_S, tz=UTC)


@dataclass(kw_only=True)
class WindowContent:
    """Counts and sketches of one window, or of several merged. Latencies are in milliseconds."""

    rows: int = 0
    requests: int = 0
    errors: int = 0
    rejected: int = 0
    confidence_sum: float = 0.0
    confidence_count: int = 0
    latency: datasketches.kll_doubles_sketch = field(default_factory=lambda: datasketches.kll_doubles_sketch(KLL_K))
    profile: DataProfile = field(default_factory=DataProfile)

    def merge(self, other: WindowContent) -> None:
        """Add all that the other has counted. The other must not be used afterwards."""
        self.rows += other.rows
        self.requests += other.requests
        self.errors += other.errors
        self.rejected += other.rejected
        self.confidence_sum += other.confidence_sum
        self.confidence_count += other.confidence_count
        self.latency.merge(other.latency)
        merge_profile(self.profile, other.profile)

    def write_to(self, window: Window) -> None:
        """Put the counts and sketches into a row; does not save it."""
        for name in INGESTED_FIELDS:
            if name not in ("latency", "profile"):
                setattr(window, name, getattr(self, name))
        window.latency = self.latency.serialize()
        window.profile = self.profile.to_dict()

    @classmethod
    def read_from(cls, window: Window) -> WindowContent:
        """Return what a row holds."""
        counts = {name: getattr(window, name) for name in INGESTED_FIELDS if name not in ("latency", "profile")}
        return cls(latency=read_latency(window.latency), profile=read_window_profile(window.profile), **counts)


def read_latency(raw: bytes | memoryview) -> datasketches.kll_doubles_sketch:
    """Return the latency sketch of a row; an empty one for a new row."""
    if not raw:
        return datasketches.kll_doubles_sketch(KLL_K)
    return datasketches.kll_doubles_sketch.deserialize(bytes(raw))


def read_window_profile(data: dict[str, Any]) -> DataProfile:
    """Return the profile of a row; an empty one for a new row."""
    return DataProfile.from_dict(data) if data else DataProfile()


def merge_profile(mine: DataProfile, theirs: DataProfile) -> None:
    """Merge without copying. A column whose kind differs from the one here is left out, and logged.

    Replicas that disagree on a column's kind must not stop the counting of all the rest.
    """
    for group, others in ((mine.features, theirs.features), (mine.outputs, theirs.outputs)):
        for name, other in others.items():
            _merge_column(group, name, other)
    mine.rows += theirs.rows


def _merge_column(group: dict[str, FeatureProfile], name: str, other: FeatureProfile) -> None:
    here = group.setdefault(name, other)
    if here is other:
        return
    if type(here) is type(other):
        here.merge(other)  # type: ignore[arg-type]  # both are of one kind
    else:
        log.warning("column_kind_differs", column=name, here=type(here).__name__, there=type(other).__name__)
