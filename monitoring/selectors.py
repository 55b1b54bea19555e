"""Reads windows: which versions serve, what they did in a period, minute by minute or merged.

A period covers whole minutes: the one in which it begins counts in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet

from aiplatform.errors import NotFoundError
from aiplatform.profiles import DataProfile
from monitoring.baselines import load_baseline
from monitoring.cover import cover
from monitoring.drift.results import DriftLimits, DriftTable
from monitoring.drift.table import compare_profiles, missing_baseline
from monitoring.latencies import LatencySketch, union_latencies
from monitoring.models import Feedback, ServedVersion, Window
from monitoring.predictions import FoundRow, attach_feedback, find_rows
from monitoring.readings import Readings
from monitoring.windows import add_to_union, minute_of, read_profile, union_profiles


@dataclass(frozen=True, kw_only=True)
class Period:
    """The time from `start` (a whole minute) to `end`."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Return its length."""
        return (self.end - self.start).total_seconds()

    @classmethod
    def last(cls, seconds: float, *, now: datetime) -> Period:
        """Return the last so many seconds, from the minute in which they begin."""
        return cls(start=minute_of(now - timedelta(seconds=seconds)), end=now)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts of a period. Field names are the window's columns."""

    rows: int = 0
    requests: int = 0
    errors: int = 0
    rejected: int = 0
    confidence_sum: float = 0.0
    confidence_count: int = 0
    labelled: int = 0
    correct: int = 0
    valued: int = 0
    absolute_error_sum: float = 0.0
    squared_error_sum: float = 0.0


COUNTS = tuple(vars(Totals()))


def list_served_versions(endpoint: str | None = None, version: int | None = None) -> QuerySet[ServedVersion]:
    """Return the versions that have windows, newest use first, of one endpoint and version if given."""
    found = ServedVersion.objects.order_by("-last_seen_at")
    if endpoint is not None:
        found = found.filter(endpoint=endpoint)
    return found if version is None else found.filter(version=version)


def has_served(endpoint: str, version: int | None) -> bool:
    """Say whether a prediction of an endpoint, and of a version if given, has ever arrived."""
    return list_served_versions(endpoint, version).exists()


def list_active_served(since: datetime) -> list[ServedVersion]:
    """Return the versions with predictions since a time, by endpoint and version, one row a pair."""
    found = ServedVersion.objects.filter(last_seen_at__gte=since).order_by("endpoint", "version", "last_seen_at")
    return list({(served.endpoint, served.version): served for served in found}.values())


def list_active_versions(since: datetime) -> list[tuple[str, int]]:
    """Return (endpoint, version) of those with predictions since a time."""
    found = ServedVersion.objects.filter(last_seen_at__gte=since).order_by("endpoint", "version")
    return list(found.values_list("endpoint", "version").distinct())


def get_served_version(endpoint: str, version: int) -> ServedVersion:
    """Return the served version last seen under this name and number.

    Raises: NotFoundError if no prediction of it has arrived.
    """
    served = list_served_versions(endpoint, version).first()
    if served is None:
        raise NotFoundError(f"no prediction of endpoint '{endpoint}' version {version} has been recorded")
    return served


def list_windows(
    endpoint: str, version: int | None, period: Period, *, coarsest: int = Window.Resolution.DAY
) -> QuerySet[Window]:
    """Return the windows that stand for a period, in time order: whole days, hours, and the minutes at its ends.

    A chart says how long a window may be (`coarsest`, seconds); older ones are longer where the finer are gone.
    """
    found = Window.objects.filter(cover(period.start, period.end, coarsest=coarsest), served__endpoint=endpoint)
    return (found if version is None else found.filter(served__version=version)).order_by("start")


def get_totals(windows: QuerySet[Window]) -> Totals:
    """Return the windows' counts added up.

    A period has some dozens of windows: to add them up here takes less than to put eleven sums into SQL.
    """
    return _add_up(windows.order_by().values_list(*COUNTS))


def get_totals_by_version(endpoint: str, version: int | None, period: Period) -> dict[int, Totals]:
    """Return a period's counts of each version that has windows in it, or of one, by number."""
    rows = list_windows(endpoint, version, period).order_by().values_list("served__version", *COUNTS)
    found: dict[int, list[tuple[Any, ...]]] = {}
    for number, *counts in rows:
        found.setdefault(number, []).append(tuple(counts))
    return {number: _add_up(found[number]) for number in sorted(found)}


def _add_up(rows: Iterable[tuple[Any, ...]]) -> Totals:
    sums = [sum(column) for column in zip(*rows, strict=True)]
    return Totals(**dict(zip(COUNTS, sums, strict=True))) if sums else Totals()


def merge_latency(windows: QuerySet[Window]) -> LatencySketch:
    """Return one sketch of all latencies, milliseconds."""
    return union_latencies(windows.values_list("latency", flat=True))


def merge_profiles(windows: QuerySet[Window]) -> DataProfile:
    """Return one profile of all features and outputs."""
    rows = windows.values_list("sketches", "profile").iterator()
    return union_profiles(read_profile(sketches, older) for sketches, older in rows)


def merge_latency_of(endpoint: str, version: int | None, period: Period) -> LatencySketch:
    """Return one sketch of all latencies of a period, milliseconds."""
    return merge_latency(list_windows(endpoint, version, period))


def merge_profiles_by_version(endpoint: str, version: int | None, period: Period) -> dict[int, DataProfile]:
    """Return a period's profile of each version that has windows in it, or of one, by number."""
    rows = list_windows(endpoint, version, period).values_list("served__version", "sketches", "profile")
    found: dict[int, DataProfile] = {}
    for number, sketches, older in rows.iterator():
        add_to_union(found.setdefault(number, DataProfile()), read_profile(sketches, older))
    return dict(sorted(found.items()))


def drift_limits() -> DriftLimits:
    """Return the limits that the settings name."""
    return DriftLimits(
        psi_threshold=settings.DRIFT_PSI_THRESHOLD,
        ks_threshold=settings.DRIFT_KS_THRESHOLD,
        wasserstein_threshold=settings.DRIFT_WASSERSTEIN_THRESHOLD,
        js_threshold=settings.DRIFT_JS_THRESHOLD,
        small_baseline=settings.DRIFT_SMALL_BASELINE,
        dataset_share=settings.DRIFT_DATASET_SHARE,
        significance=settings.DRIFT_SIGNIFICANCE,
        min_samples=settings.DRIFT_MIN_SAMPLES,
    )


def get_drift(served: ServedVersion, profile: DataProfile, readings: Readings | None = None) -> DriftTable:
    """Compare a period's profile with the baseline of the version's artifact."""
    baseline = (readings or Readings()).once(load_baseline, served)
    if baseline.profile is None:
        return missing_baseline(baseline.reason)
    return compare_profiles(baseline.profile, profile, drift_limits())


def count_confusions(endpoint: str, version: int, period: Period) -> list[tuple[str, str, int]]:
    """Return (true label, predicted label, count) of a period's labelled predictions."""
    found = Feedback.objects.filter(
        block__window__served__endpoint=endpoint,
        block__window__served__version=version,
        block__time__gte=period.start,
        block__time__lt=minute_of(period.end) + timedelta(minutes=1),
        label__isnull=False,
        predicted_label__isnull=False,
    )
    rows = found.order_by().values_list("label", "predicted_label").annotate(count=Count("pk"))
    return sorted((true, predicted, count) for true, predicted, count in rows)


def list_feedback() -> QuerySet[Feedback]:
    """Return all feedback, newest first."""
    return Feedback.objects.order_by("-received_at", "-pk")


def list_prediction_rows(prediction_id: str) -> list[FoundRow]:
    """Return the rows of one answer, with window, version and feedback.

    Raises: NotFoundError if it has not arrived, or is older than the retention.
    """
    rows = list(find_rows([prediction_id]).values())
    if not rows:
        raise NotFoundError(
            f"no prediction '{prediction_id}': it has not arrived, or is older than "
            f"PREDICTION_RETENTION_DAYS ({settings.PREDICTION_RETENTION_DAYS:g})"
        )
    attach_feedback(rows)
    return rows


def latency_quantiles(sketch: LatencySketch, ranks: Sequence[float]) -> list[float | None]:
    """Return latencies in milliseconds at the given ranks; None where nothing was measured."""
    if sketch.is_empty():
        return [None for _ in ranks]
    return [float(value) for value in sketch.get_quantiles(list(ranks))]


def bucket_size(period: Period, *, buckets: int) -> timedelta:
    """Return the length of a chart's buckets: whole minutes, so long that no more than `buckets` fill a period."""
    return timedelta(minutes=max(1, -(-int(period.seconds // 60 + 1) // buckets)))


def group_by_bucket(windows: Iterable[Window], period: Period, *, buckets: int) -> dict[datetime, list[Window]]:
    """Return the windows by the start of their bucket: whole minutes, no more than `buckets` of them."""
    size = bucket_size(period, buckets=buckets)
    grouped: dict[datetime, list[Window]] = {}
    for window in windows:
        start = period.start + ((window.start - period.start) // size) * size
        grouped.setdefault(start, []).append(window)
    return grouped
