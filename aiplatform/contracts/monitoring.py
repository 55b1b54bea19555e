"""What the others may ask of `monitoring`: record these, here is the truth, how is it doing?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.http.client import ServiceClient

PREFIX = "/internal/monitoring"


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """The scores of every class, row by row: codes of `aiplatform.scores`, one column for two classes."""

    classes: tuple[str, ...]
    codes: bytes  # uint16, little-endian, shape (rows, columns)


@dataclass(frozen=True, kw_only=True)
class PredictionBatch:
    """Predictions of one endpoint version by one replica, in columns of `row_count` rows.

    A row is one row of one request; all rows of a request share a prediction id and count upwards
    in `rows`. A request that failed is one row with a status >= 400 and nothing in every feature and
    output. Under much traffic features and embedding are of a sample: `watched` has the places of its rows, in
    rising order, and these columns have as many; None: they are of all rows. `batch_id` is unique: a batch that
    arrives twice counts once.
    """

    batch_id: str
    replica: str
    endpoint: str
    model: str
    version: int
    artifact_uri: str
    artifact_digest: str
    row_count: int
    prediction_ids: PredictionIds
    rows: Numbers
    times_s: Numbers  # seconds since the epoch, at arrival of the request
    latencies_ms: Numbers
    http_statuses: Numbers
    numeric_features: Mapping[str, Numbers] = field(default_factory=dict)
    category_features: Mapping[str, Texts] = field(default_factory=dict)
    predicted_labels: Texts | None = None
    confidences: Numbers | None = None
    predicted_values: Numbers | None = None
    scores: ClassScores | None = None
    error_codes: Texts | None = None  # of the requests that failed
    embedding: tuple[Numbers, ...] = ()  # one column a dimension
    watched: Numbers | None = None


@dataclass(frozen=True, kw_only=True)
class RecordPredictions:
    """Several batches in one call."""

    batches: tuple[PredictionBatch, ...]


@dataclass(frozen=True, kw_only=True)
class IngestReceipt:
    """What became of the batches sent."""

    accepted: int
    duplicates: int


@dataclass(frozen=True, kw_only=True)
class FeedbackItem:
    """The true label, or the true number, of one row of an earlier prediction."""

    prediction_id: str
    label: str | None = None
    value: float | None = None
    row: int = 0
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordFeedback:
    """Feedback in bulk."""

    items: tuple[FeedbackItem, ...]


@dataclass(frozen=True, kw_only=True)
class FeedbackReceipt:
    """How many items joined a prediction, repeat one known, or name an unknown prediction.

    Items for a prediction that has not arrived yet are kept and joined when it does (`pending`).
    """

    joined: int
    repeated: int
    pending: int


@dataclass(frozen=True, kw_only=True)
class ShadowComparison:
    """Live answers of a champion beside a challenger's to the same requests, counted by one process.

    `requests` were answered by both or failed by the challenger (`errors`); `dropped` were not compared.
    Rows agree if their labels do; of numbers `difference_sum` adds up the absolute differences.
    Latencies are counts by bucket (aiplatform.latency_buckets). `batch_id` is unique: a comparison
    that arrives twice counts once.
    """

    batch_id: str
    replica: str
    endpoint: str
    champion: int
    challenger: int
    since_s: float  # seconds since the epoch
    until_s: float
    requests: int
    errors: int
    dropped: int
    rows: int
    labelled_rows: int
    agreed_rows: int
    valued_rows: int
    difference_sum: float
    champion_latencies: tuple[int, ...]
    challenger_latencies: tuple[int, ...]
    last_error: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordComparisons:
    """Comparisons of one process."""

    comparisons: tuple[ShadowComparison, ...]


@dataclass(frozen=True, kw_only=True)
class VersionReport:
    """How a version did over a period; `report` is the JSON of the performance report."""

    endpoint: str
    version: int
    period_s: int
    report: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CompareProfiles:
    """Two profiles (aiplatform.profiles.DataProfile as JSON) to hold against each other."""

    baseline: Mapping[str, Any]
    window: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProfileDrift:
    """How far the window has moved; `table` is the JSON of a drift table, with the verdict of each column."""

    table: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StorePolicy:
    """What the prediction store keeps of an endpoint's predictions.

    `inputs`: 'full', 'hash' (a pseudonym of all of them) or 'none'. Of the features (input tensors) those in
    `kept_features` are kept (empty: all), less the redacted ones, and hashed ones as pseudonyms. Inputs
    of a row that is larger than `max_row_bytes` are kept as with 'hash'.
    """

    sample_share: float
    retention_days: float
    inputs: str = "full"
    kept_features: tuple[str, ...] = ()
    redacted_features: tuple[str, ...] = ()
    hashed_features: tuple[str, ...] = ()
    max_row_bytes: int = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class StorePolicies:
    """The policies of endpoints that have one, and that of all others."""

    default: StorePolicy
    endpoints: Mapping[str, StorePolicy] = field(default_factory=dict)

    def of(self, endpoint: str) -> StorePolicy:
        """Return an endpoint's policy."""
        return self.endpoints.get(endpoint, self.default)


class MonitoringClient:
    """Tell and ask monitoring. Every method raises a PlatformError."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def record_predictions(self, order: RecordPredictions) -> IngestReceipt:
        """Hand over predictions; safe to repeat."""
        return self._service.post(f"{PREFIX}/predictions", order, IngestReceipt, is_idempotent=True, is_packed=True)

    def record_feedback(self, order: RecordFeedback) -> FeedbackReceipt:
        """Hand over true labels; safe to repeat."""
        return self._service.post(f"{PREFIX}/feedback", order, FeedbackReceipt, is_idempotent=True)

    def record_comparisons(self, order: RecordComparisons) -> IngestReceipt:
        """Hand over what shadows were found to answer; safe to repeat."""
        return self._service.post(f"{PREFIX}/comparisons", order, IngestReceipt, is_idempotent=True)

    def get_report(self, endpoint: str, version: int, period_s: int) -> VersionReport:
        """Return latency, throughput, errors, drift, accuracy and coverage over a period."""
        query = {"endpoint": endpoint, "version": str(version), "period_s": str(period_s)}
        return self._service.get(f"{PREFIX}/report", VersionReport, query=query)

    def compare_profiles(self, order: CompareProfiles) -> ProfileDrift:
        """Return what the drift tests say of two profiles; InvalidInputError if they are none."""
        return self._service.post(f"{PREFIX}/profile-drift", order, ProfileDrift, is_idempotent=True)

    def get_store_policies(self) -> StorePolicies:
        """Return what to keep in the prediction store."""
        return self._service.get(f"{PREFIX}/store-policies", StorePolicies)
