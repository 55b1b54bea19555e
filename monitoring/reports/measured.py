"""What is known of performance, data quality and sudden changes in a period."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.models import ServedVersion
from monitoring.performance.results import ChangeEvent, PerformanceResult, QualityResult
from monitoring.selectors import Period


@dataclass(frozen=True, kw_only=True)
class PeriodMeasures:
    """Performance, quality and changes; None where nothing measures it."""

    performance: PerformanceResult | None = None
    quality: QualityResult | None = None
    changes: tuple[ChangeEvent, ...] = ()


def measure_period(served: ServedVersion, period: Period) -> PeriodMeasures:
    """Return what is known of a version in a period."""
    return PeriodMeasures()
