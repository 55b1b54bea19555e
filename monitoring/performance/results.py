"""What the performance of a version over a period looks like; made by `monitoring.performance.selectors`.

Every number is an `Estimate`: None where the counts do not give it, with its 95% interval where
there is one. All results are JSON-ready through `dataclasses.asdict`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number, its 95% interval, and on how many rows it stands."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0


@dataclass(frozen=True, kw_only=True)
class Average:
    """One measure over all classes: the plain mean, and the mean weighted by how often a class is true."""

    macro: Estimate
    weighted: Estimate


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """How one class does against all others."""

    label: str
    support: int  # rows of which it is the truth
    predicted: int  # rows of which it was said
    precision: Estimate
    recall: Estimate
    f1: Estimate
    roc_auc: Estimate


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Labelled rows whose confidence lies between two bounds: how sure the model was, how often it was right."""

    low: float
    high: float
    count: int
    mean_confidence: float
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True)
class CalibrationResult:
    """Whether confidence means what it says. Bins without rows are left out.

    `expected_calibration_error` is the mean distance of confidence and accuracy over the bins;
    `noise_floor` what it would be for a perfectly calibrated model with as few rows.
    """

    expected_calibration_error: Estimate
    noise_floor: float | None
    bins: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ConfusionMatrix:
    """Counts: rows are true labels, columns predicted ones, both in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ClassificationResult:
    """Realised performance of a model that says labels."""

    labelled: int
    accuracy: Estimate
    precision: Average
    recall: Average
    f1: Average
    roc_auc: Estimate  # of two classes that of the second; else the plain mean, one class against the rest
    log_loss: Estimate
    calibration: CalibrationResult
    confusion: ConfusionMatrix
    classes: tuple[ClassResult, ...]


@dataclass(frozen=True, kw_only=True)
class RegressionResult:
    """Realised performance of a model that says numbers. Errors are prediction minus truth."""

    labelled: int
    mean_absolute_error: Estimate
    root_mean_squared_error: Estimate
    r_squared: Estimate
    bias: Estimate


@dataclass(frozen=True, kw_only=True)
class SegmentResult:
    """Performance where one feature lies in one bin of its baseline, or has one category.

    `score` is accuracy, or the mean absolute error of numbers. `is_worse` says that it is worse than
    over all other segments of the feature by more than chance (after correction for their number).
    """

    feature: str
    segment: str
    labelled: int
    score: Estimate
    rest: Estimate
    is_worse: bool
    precision: float | None = None  # plain means over classes
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True, kw_only=True)
class EstimatedResult:
    """Performance as the calibrated confidences foretell it, with no label needed.

    `reason` says why there is none. `expected` is the accuracy on held-out data at training, `drop`
    how far the estimate lies below it. Precision and the others only of models with two classes,
    for the second class. It foresees changes of what comes in, not of what it means.
    """

    samples: int
    reason: str = ""
    accuracy: Estimate = field(default_factory=Estimate)
    expected: float | None = None
    drop: float | None = None
    precision: Estimate | None = None
    recall: Estimate | None = None
    f1: Estimate | None = None
    roc_auc: Estimate | None = None
    realised: Estimate = field(default_factory=Estimate)
    label_coverage: float | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureQuality:
    """What is wrong with one feature. Shares are of all rows of the period; None: no baseline to say it by."""

    feature: str
    kind: str  # 'numeric' or 'category'
    rows: int
    missing: Estimate
    expected_missing: float | None
    out_of_range: Estimate
    range_low: float | None = None
    range_high: float | None = None
    new_categories: tuple[str, ...] = ()
    new_category_share: Estimate = field(default_factory=Estimate)
    is_constant: bool = False
    problems: tuple[str, ...] = ()  # 'missing', 'out_of_range', 'new_categories', 'constant'


@dataclass(frozen=True, kw_only=True)
class QualityResult:
    """Whether the data that comes in is sound. `refused` counts requests by the code of their refusal."""

    rows: int
    requests: int
    schema_violations: Estimate  # share of requests refused for what they held
    refused: dict[str, int]
    duplicates: Estimate  # share of rows seen before in the period
    features: tuple[FeatureQuality, ...]
    problems: int  # features with a problem


@dataclass(frozen=True, kw_only=True)
class ChangeEvent:
    """A detector saw a stream change, once."""

    endpoint: str
    version: int
    stream: str  # 'accuracy', or 'feature:NAME'
    detector: str  # 'adwin' or 'page_hinkley'
    at: datetime  # start of the window in which it was seen
    detected_at: datetime
    before: float  # mean before the change
    after: float


@dataclass(frozen=True, kw_only=True)
class PerformanceResult:
    """All that is known of how a version does over a period. `predictions` is the rows answered."""

    predictions: int
    labelled: int
    label_coverage: float | None
    classification: ClassificationResult | None
    regression: RegressionResult | None
    segments: tuple[SegmentResult, ...]  # those that are worse first
    estimated: EstimatedResult
