"""Every number that a rule, a page or a metric may ask for, measured from windows on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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


def _catalogue(*infos: MetricInfo) -> dict[str, MetricInfo]:
    return {info.name: info for info in infos}


METRICS: dict[str, MetricInfo] = _catalogue(
    MetricInfo(name="error_rate", unit="share", help="Share of requests that ended in a server error (5xx)"),
    MetricInfo(name="latency_p50_ms", unit="ms", help="Half of the answered requests were faster"),
    MetricInfo(name="latency_p95_ms", unit="ms", help="95% of the answered requests were faster"),
    MetricInfo(name="latency_p99_ms", unit="ms", help="99% of the answered requests were faster"),
    MetricInfo(name="throughput_per_s", unit="1/s", help="Predicted rows per second", zero_is_data=True),
    MetricInfo(name="prediction_count", unit="rows", help="Predicted rows", zero_is_data=True),
    MetricInfo(name="accuracy", unit="share", help="Share of labelled predictions that were right"),
    MetricInfo(name="label_coverage", unit="share", help="Share of predictions whose truth is known"),
    MetricInfo(name="drift_psi", unit="PSI", help="Population stability index; the worst feature's if none is named", needs_feature=True),
    MetricInfo(name="drift_ks", unit="KS", help="Kolmogorov-Smirnov distance; the worst feature's if none is named", needs_feature=True),
    MetricInfo(name="drifted_feature_share", unit="share", help="Share of judged features whose verdict is 'drifted'"),
    MetricInfo(name="prediction_drift_psi", unit="PSI", help="Population stability index of what the model predicts"),
    MetricInfo(name="mean_confidence", unit="share", help="Mean confidence of the predicted label"),
)  # fmt: skip


def measure(
    metric: str, *, endpoint: str, version: int | None, window_s: int, now: datetime, feature: str | None = None
) -> Measurement:
    """Return one metric over the last `window_s` seconds, all versions together if `version` is None.

    Raises: InvalidInputError if there is no such metric.
    """
    raise NotImplementedError
