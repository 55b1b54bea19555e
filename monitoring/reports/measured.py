"""What is known of performance, data quality and sudden changes in a period."""

from __future__ import annotations

from dataclasses import dataclass

from aiplatform.profiles import DataProfile
from monitoring.models import ServedVersion
from monitoring.performance.changes import list_changes
from monitoring.performance.quality import measure_quality
from monitoring.performance.results import ChangeEvent, PerformanceResult, QualityResult
from monitoring.performance.selectors import get_observed, get_performance
from monitoring.selectors import Period


@dataclass(frozen=True, kw_only=True)
class PeriodMeasures:
    """Performance, quality and changes of one version and period."""

    performance: PerformanceResult
    quality: QualityResult
    changes: tuple[ChangeEvent, ...] = ()


def measure_period(
    served: ServedVersion, period: Period, *, profile: DataProfile, baseline: DataProfile | None, requests: int
) -> PeriodMeasures:
    """Return what is known of a version in a period; `profile` is that of the period's rows."""
    return PeriodMeasures(
        performance=get_performance(served.endpoint, served.version, period),
        quality=measure_quality(
            profile, get_observed(served.endpoint, served.version, period), baseline, requests=requests
        ),
        changes=tuple(list_changes(served.endpoint, served.version, since=period.start, until=period.end)),
    )
