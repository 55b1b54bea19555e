"""The content of a window in memory: built from a batch, merged, read from and written to its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from aiplatform.profiles import DataProfile, FeatureProfile, NumericProfile
from monitoring.latencies import LatencySketch, new_latency, pack_latency, read_latency
from monitoring.models import Window
from monitoring.packing import pack_profile, unpack_profile

MINUTE_S = 60
log = structlog.get_logger(__name__)

_NOT_COUNTS = ("latency", "profile", "sketches")
# What ingestion writes; the counts of labels belong to feedback.
INGESTED_FIELDS = (
    "rows", "requests", "errors", "rejected", "latency", "profile", "sketches", "confidence_sum", "confidence_count",
)  # fmt: skip
# What feedback writes.
LABEL_FIELDS = ("labelled", "correct", "valued", "absolute_error_sum", "squared_error_sum")


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
    latency: LatencySketch = field(default_factory=new_latency)
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
            if name not in _NOT_COUNTS:
                setattr(window, name, getattr(self, name))
        window.latency = pack_latency(self.latency)
        window.sketches, window.profile = pack_profile(self.profile), {}

    @classmethod
    def read_from(cls, window: Window) -> WindowContent:
        """Return what a row holds."""
        counts = {name: getattr(window, name) for name in INGESTED_FIELDS if name not in _NOT_COUNTS}
        profile = read_profile(window.sketches, window.profile)
        return cls(latency=read_latency(window.latency), profile=profile, **counts)


def read_window_profile(window: Window) -> DataProfile:
    """Return the profile of a row; an empty one for a new row."""
    return read_profile(window.sketches, window.profile)


def read_profile(sketches: bytes | memoryview, older: dict[str, Any]) -> DataProfile:
    """Return a profile from a row's columns: `sketches`, or `profile` as rows once had it."""
    if sketches:
        return unpack_profile(sketches)
    return DataProfile.from_dict(older) if older else DataProfile()


def lock_open_window(served: int, start: datetime, resolution: int = Window.Resolution.MINUTE) -> Window:
    """Return the window of a time that still takes counts, locked; it is made if there is none.

    Rolling up may close it just before it is locked: then there is room for a new one. It is looked for first: of the
    calls that add to a minute only one finds none.
    """
    key = {"served_id": served, "resolution": resolution, "start": start, "is_rolled_up": False}
    while (row := Window.objects.select_for_update().filter(**key).first()) is None:
        Window.objects.bulk_create([Window(**key)], ignore_conflicts=True)
    return row


def union_profiles(profiles: Iterable[DataProfile]) -> DataProfile:
    """Return one profile of many windows', to be read: numbers in a sketch that adds hardly any error."""
    merged = DataProfile()
    for profile in profiles:
        add_to_union(merged, profile)
    return merged


def add_to_union(merged: DataProfile, profile: DataProfile) -> None:
    """Add a window's profile to a union, which begins as an empty profile."""
    for mine, theirs in ((merged.features, profile.features), (merged.outputs, profile.outputs)):
        for name, column in theirs.items():
            if name not in mine and isinstance(column, NumericProfile):
                mine[name] = NumericProfile.for_union()
    merge_profile(merged, profile)


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
