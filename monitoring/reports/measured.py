"""What is known of performance, data quality and sudden changes in a period."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.models import ServedVersion
from monitoring.performance.changes import list_changes
from monitoring.performance.results import ChangeEvent, PerformanceResult, QualityResult
from monitoring.performance.selectors import get_performance, get_quality
from monitoring.selectors import Period


@dataclass(frozen=True, kw_only=True)
class PeriodMeasures:
    """Performance, quality and changes of one version and period."""

    performance: PerformanceResult
    quality: QualityResult
    changes: tuple[ChangeEvent, ...] = ()


def measure_period(served: ServedVersion, period: Period) -> PeriodMeasures:
    """Return what is known of a version in a period."""
    return PeriodMeasures(
        performance=get_performance(served.endpoint, served.version, period),
        quality=get_quality(served.endpoint, served.version, period),
        changes=tuple(list_changes(served.endpoint, served.version, since=period.start, until=period.end)),
    )
