"""What a report holds. The page, the file, the JSON and the comparison are all made of this alone.

`SCHEMA_VERSION` grows when a field changes its meaning or goes; a new field does not change it, and what
was stored before reads with the field's default. `report_schema` gives the whole as JSON Schema.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from aiplatform.artifacts import Lineage
from aiplatform.errors import InvalidInputError
from monitoring.drift.results import DriftTable
from monitoring.performance.results import ChangeEvent, Estimate, PerformanceResult, QualityResult
from monitoring.reports.series import SeriesPoint
from monitoring.reports.verdict import HealthVerdict

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class ReportPeriod:
    """From when to when, UTC."""

    start: datetime
    end: datetime
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Predicted rows, requests and what became of them. `error_rate` is the share of requests with a 5xx."""

    predictions: int
    requests: int
    errors: int
    rejected: int
    error_rate: float | None
    error_rate_estimate: Estimate
    throughput_per_s: float


@dataclass(frozen=True, kw_only=True)
class AccuracySection:
    """Realised accuracy; `coverage` is the share of predictions with a label, `expected` the accuracy in training."""

    labelled: int
    correct: int
    predictions: int
    value: float | None
    low: float | None
    high: float | None
    coverage: float | None
    expected: float | None
    needed: int  # labels from which accuracy is judged


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Realised errors of a model that predicts numbers."""

    labelled: int
    mean_absolute_error: float | None
    root_mean_squared_error: float | None


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the model said: labels by count, or the quantiles of its numbers."""

    mean_confidence: float | None
    labels: dict[str, int] = field(default_factory=dict)
    value_quantiles: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AlertLine:
    """An alert that was active in the period."""

    id: int
    rule: str
    severity: str
    state: str
    started_at: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    message: str


@dataclass(frozen=True, kw_only=True)
class RolloutLine:
    """Something that changed what the endpoint serves, in the period: a rollout, or a rule's action.

    `by`: who ordered it. The fields from `id` on are a rollout's (`kind` is 'rollout'); `outcome` is how it
    ended ('promoted', 'rolled_back', 'aborted', 'superseded'), empty while it goes on.
    """

    at: datetime
    kind: str
    state: str
    text: str
    by: str = ""
    id: int | None = None
    champion: int | None = None
    challenger: int | None = None
    outcome: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LineageSection:
    """Where the version comes from; `error` says why that is not known."""

    artifact_uri: str
    artifact_digest: str
    lineage: Lineage | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class PerformanceReport:
    """How one version did over a period."""

    schema_version: int = SCHEMA_VERSION
    endpoint: str
    model: str
    version: int
    artifact_digest: str
    generated_at: datetime
    period: ReportPeriod
    verdict: HealthVerdict
    traffic: Traffic
    latency_ms: dict[str, float | None]
    latency_estimates_ms: dict[str, Estimate]
    accuracy: AccuracySection
    numbers: Numbers
    predictions: Predictions
    drift: DriftTable
    performance: PerformanceResult | None = None
    quality: QualityResult | None = None
    changes: tuple[ChangeEvent, ...] = ()
    alerts: tuple[AlertLine, ...] = ()
    rollouts: tuple[RolloutLine, ...] = ()
    lineage: LineageSection
    series: tuple[SeriesPoint, ...] = ()

    @property
    def title(self) -> str:
        """Return what the report is about."""
        return f"{self.endpoint} version {self.version}"


def report_to_dict(report: PerformanceReport) -> dict[str, Any]:
    """Return the report as JSON-ready values."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    return found


def encode_report(report: PerformanceReport) -> bytes:
    """Return the report as JSON."""
    return msgspec.json.encode(report)


def decode_report(raw: bytes) -> PerformanceReport:
    """Return the report that JSON stands for.

    Raises: InvalidInputError if it is none, or of another schema version.
    """
    try:
        version = msgspec.json.decode(raw, type=_Head).schema_version
        if version != SCHEMA_VERSION:
            raise InvalidInputError(f"the report has schema version {version}, this platform reads {SCHEMA_VERSION}")
        return msgspec.json.decode(raw, type=PerformanceReport)
    except msgspec.MsgspecError as error:
        raise InvalidInputError(f"this is not a report: {error}") from error


@functools.cache
def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of a report."""
    schema = msgspec.json.schema(PerformanceReport)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Performance report", **schema}


class _Head(msgspec.Struct):
    schema_version: int = 1
