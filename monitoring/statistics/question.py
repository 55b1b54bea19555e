"""What a metric is, what is asked of it, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from aiplatform.profiles import DataProfile
from monitoring.models import ServedVersion, Window
from monitoring.readings import Readings
from monitoring.selectors import (
    Period,
    Totals,
    get_served_version,
    get_totals,
    get_totals_by_version,
    list_windows,
    merge_profiles_by_version,
)


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """What can be measured. With `zero_is_data`, no traffic at all is the value 0, not 'no data'."""

    name: str
    unit: str
    help: str
    needs_feature: bool = False  # True: may be asked for one feature
    zero_is_data: bool = False


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured value; None is 'no data' or 'not enough data' (`detail['reason']` says which)."""

    metric: str
    value: float | None
    samples: int
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """Which metric is asked for, of whom and of which time; all versions together if `version` is None.

    What is read for the answer is kept in `readings`, for others who ask for the same.
    """

    metric: str
    endpoint: str
    version: int | None
    period: Period
    feature: str | None
    readings: Readings

    @property
    def windows(self) -> QuerySet[Window]:
        """Return the windows of the period."""
        return list_windows(self.endpoint, self.version, self.period)

    @property
    def totals(self) -> Totals:
        """Return the counts of the period."""
        if self.version is None:
            return get_totals(self.windows)
        return self.totals_by_version.get(self.version, Totals())

    @property
    def totals_by_version(self) -> dict[int, Totals]:
        """Return the counts of each version with windows in the period."""
        return self.readings.once(get_totals_by_version, self.endpoint, self.version, self.period)

    @property
    def profiles(self) -> dict[int, DataProfile]:
        """Return the profile of each version with windows in the period."""
        return self.readings.once(merge_profiles_by_version, self.endpoint, self.version, self.period)

    def served(self, version: int) -> ServedVersion:
        """Return the served version of a number."""
        return self.readings.once(get_served_version, self.endpoint, version)

    def answer(self, value: float | None, samples: int, **detail: Any) -> Measurement:
        """Return the measurement; without a value the reason is 'no data' unless another is given."""
        if value is None:
            detail.setdefault("reason", "no data")
        return Measurement(metric=self.metric, value=value, samples=samples, detail=detail)


Answer = Callable[[Question], Measurement]
Catalogue = dict[str, tuple[MetricInfo, Answer]]


def catalogue(*entries: tuple[MetricInfo, Answer]) -> Catalogue:
    """Return metrics with what answers them, by name. Each subject's module has one."""
    return {info.name: (info, answer) for info, answer in entries}
