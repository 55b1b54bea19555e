"""What the data plane tells the control plane of each prediction, in the shape both agree on.

The hot path hands over arrays and goes on; features are extracted later, many requests at a time. The arrays
are those of an engine call, which several requests share: each names its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
EVENT_BYTES = 512  # about what an event takes beside its arrays


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Source:
    """What answers, and under which name: one object for each loaded version, compared by identity."""

    endpoint: str
    model: str
    version: int
    artifact_uri: str
    artifact_digest: str
    labels: tuple[str, ...] = ()


class CallRows:
    """What went into one engine call and came out; every array has the rows first. Nobody may change the arrays.

    `embedding` has the shape (rows, dimensions), for a model that has one.
    """

    __slots__ = ("embedding", "inputs", "outputs", "row_bytes", "rows")

    def __init__(self, inputs: Arrays, outputs: Arrays, embedding: Array | None = None) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.embedding = embedding
        self.rows = 1
        for array in inputs.values():
            self.rows = max(1, len(array)) if array.ndim else 1
            break
        size = 0 if embedding is None else embedding.nbytes
        for arrays in (inputs, outputs):
            for array in arrays.values():
                size += array.nbytes
        self.row_bytes = -(-size // self.rows)  # on average, rounded up


class PredictionEvent(NamedTuple):
    """One request to a known version, answered or failed; a tuple, as one is made for each request.

    `time_s` is its arrival in seconds since the epoch. `call` is None when it failed; else the request's are the
    rows `start` to `start + rows` of it. `traceparent` is the W3C header.
    """

    source: Source
    prediction_id: str
    time_s: float
    latency_ms: float
    http_status: int
    call: CallRows | None
    start: int
    rows: int
    size_bytes: int  # about how much memory it holds
    error_code: str = ""  # of a request that failed
    traceparent: str = ""
    subject: str = ""  # whom it is about, as the caller named it; never written anywhere

    @property
    def inputs(self) -> Arrays | None:
        """Return the request's own rows; None if it failed."""
        return None if self.call is None else self._own(self.call.inputs, self.call.rows)

    @property
    def outputs(self) -> Arrays | None:
        """Return what was answered; None if it failed."""
        return None if self.call is None else self._own(self.call.outputs, self.call.rows)

    @property
    def embedding(self) -> Array | None:
        """Return the rows' embedding, if the model has one."""
        if self.call is None or self.call.embedding is None:
            return None
        return self._own({"": self.call.embedding}, self.call.rows)[""]

    def _own(self, arrays: Arrays, rows: int) -> Arrays:
        if self.rows == rows:
            return arrays
        return {name: array[self.start : self.start + self.rows] for name, array in arrays.items()}


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
