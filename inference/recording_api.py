"""What the data plane tells the control plane of each prediction, in the shape both agree on.

The hot path hands over arrays and goes on; features are extracted later, in the recorder's thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each request
class PredictionEvent:
    """One request to a known version, answered or failed.

    `time_s` is its arrival in seconds since the epoch. `inputs` and `outputs` are None when it
    failed; nobody may change the arrays, which belong to a whole batch. `traceparent` is the W3C header.
    """

    prediction_id: str
    endpoint: str
    model: str
    version: int
    artifact_uri: str
    artifact_digest: str
    time_s: float
    latency_ms: float
    http_status: int
    inputs: Arrays | None = None
    outputs: Arrays | None = None
    embedding: np.ndarray[Any, Any] | None = None  # (rows, dimensions), of a model that has one
    labels: tuple[str, ...] = ()
    error_code: str = ""  # of a request that failed
    traceparent: str = ""
    subject: str = ""  # whom it is about, as the caller named it; never written anywhere


class Origin(NamedTuple):
    """What a request says of where it comes from; read only when it is recorded."""

    traceparent: str = ""
    subject: str = ""


class Recorder(Protocol):
    """Takes events; never blocks, never raises."""

    def record(self, event: PredictionEvent) -> None:
        """Keep an event, or drop it and count that."""


class Metrics(Protocol):
    """Counts what happens; called on the hot path, so it must be quick and never raise.

    `version` is 0 when no version could be chosen.
    """

    def count_prediction(self, *, endpoint: str, version: int, http_status: int, latency_s: float) -> None:
        """Count one request of a known endpoint."""

    def observe_batch(self, *, endpoint: str, version: int, rows: int) -> None:
        """Note how many rows an engine was given at once."""

    def set_queue_depth(self, *, endpoint: str, version: int, rows: int) -> None:
        """Note how many rows wait before an engine."""


class NoRecorder:
    """Forgets every event."""

    def record(self, event: PredictionEvent) -> None:
        """Do nothing."""


class NoMetrics:
    """Counts nothing."""

    def count_prediction(self, *, endpoint: str, version: int, http_status: int, latency_s: float) -> None:
        """Do nothing."""

    def observe_batch(self, *, endpoint: str, version: int, rows: int) -> None:
        """Do nothing."""

    def set_queue_depth(self, *, endpoint: str, version: int, rows: int) -> None:
        """Do nothing."""
