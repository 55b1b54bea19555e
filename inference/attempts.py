"""One request to one version: read, recorded whether it succeeds or fails, and answered once."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiplatform.artifacts import Manifest
from aiplatform.errors import PlatformError
from inference.embeddings import set_embedding_apart, take_embedding
from inference.engines import Arrays
from inference.loaded import LoadedVersion
from inference.prediction_ids import new_prediction_id
from inference.protocols.messages import InferRequest
from inference.protocols.tensor_rules import check_inputs
from inference.protocols.urgency import ORDINARY
from inference.recording_api import EVENT_BYTES, CallRows, Metrics, Origin, PredictionEvent, Recorder
from inference.scheduler import CallbackJob, Priority

ReadInputs = Callable[[Manifest], "Arrays | InferRequest"]  # a request may say how urgent it is, and of whom
# By V2's numbers: 1 goes first, 0 is whatever holds without it.
PRIORITIES = {1: Priority.HIGH, 2: Priority.NORMAL, 3: Priority.LOW}
CLIENT_GONE = 499  # the customary status for a request whose client left before the answer


class Answer:
    """The outputs of one request, all rows, by name in the signature's order."""

    __slots__ = ("manifest", "outputs", "prediction_id", "version")

    def __init__(self, prediction_id: str, version: int, manifest: Manifest, outputs: Arrays) -> None:
        self.prediction_id = prediction_id
        self.version = version
        self.manifest = manifest
        self.outputs = outputs


TakeAnswer = Callable[[Answer | PlatformError], None]


class Attempt:
    """One request to one held version, until it is recorded."""

    __slots__ = ("_metrics", "_recorder", "_time_s", "loaded", "started", "subject", "traceparent", "urgency")

    def __init__(
        self, loaded: LoadedVersion, time_s: float, started: float, *, recorder: Recorder, metrics: Metrics
    ) -> None:
        """`loaded` is held, and released by whoever ends the attempt; `started` is in seconds, monotonic."""
        self._recorder = recorder
        self._metrics = metrics
        self.loaded = loaded
        self._time_s = time_s
        self.started = started
        self.urgency = ORDINARY
        self.traceparent = self.subject = ""

    def note_origin(self, origin: Origin | None) -> None:
        """Keep where the request comes from."""
        if origin is not None:
            self.traceparent, self.subject = origin

    def read(self, inputs: Arrays | ReadInputs) -> Arrays:
        """Return the inputs, checked against the version's signature. Raises: InvalidInputError."""
        arrays = inputs(self.loaded.manifest) if callable(inputs) else inputs
        if isinstance(arrays, InferRequest):
            self.urgency = arrays.urgency
            self.subject = self.subject or arrays.subject
            arrays = arrays.inputs
        check_inputs(self.loaded.manifest.signature, arrays)
        return arrays

    def priority_or(self, priority: Priority) -> Priority:
        """Return the priority that the request itself names, else this one."""
        return PRIORITIES[self.urgency.priority] if self.urgency.priority else priority

    def succeed(self, inputs: Arrays, outputs: Arrays, job: CallbackJob | None = None) -> Answer:
        """Record the request and return its answer; a `job` may say which rows of an engine call it was."""
        loaded = self.loaded
        call = job.call if job is not None else None
        if call is None or job is None or loaded.manifest.padding:  # what was padded is recorded as it came
            outputs, embedding = take_embedding(loaded.manifest, outputs)  # here it ends: no client, no shadow sees it
            call = CallRows(inputs, outputs, embedding)
            prediction_id = self._record(200, call, 0, call.rows)
        else:
            if loaded.manifest.embedding is not None:
                outputs, _ = take_embedding(loaded.manifest, outputs)
                set_embedding_apart(loaded.manifest, call)
            prediction_id = self._record(200, call, job.first_row, job.rows)
        if loaded.mirror is not None:
            loaded.mirror.offer(inputs, outputs, time.monotonic() - self.started)
        return Answer(prediction_id, loaded.info.version, loaded.manifest, outputs)

    def fail_with(self, error: Exception) -> None:
        """Record what the request failed with, and tell the error which version it was."""
        if isinstance(error, PlatformError):
            error.model_version = self.loaded.info.version
            self.fail(error.http_status, error.code)
        else:
            self.fail(500, PlatformError.code)

    def fail(self, http_status: int, code: str) -> None:
        """Record that the request failed."""
        self._record(http_status, None, 0, 1, code)

    def _record(self, http_status: int, call: CallRows | None, start: int, rows: int, code: str = "") -> str:
        latency_s = time.monotonic() - self.started
        source = self.loaded.source
        prediction_id = new_prediction_id(self._time_s)
        self._metrics.count_prediction(
            endpoint=source.endpoint, version=source.version, http_status=http_status, latency_s=latency_s
        )
        size_bytes = EVENT_BYTES if call is None else EVENT_BYTES + rows * call.row_bytes
        self._recorder.record(
            PredictionEvent(
                source, prediction_id, self._time_s, latency_s * 1000, http_status,
                call, start, rows, size_bytes, code, self.traceparent, self.subject,
            )
        )  # fmt: skip
        return prediction_id


class StartedPrediction:
    """A request whose rows wait, until its answer is taken or it is given up."""

    __slots__ = ("_arrays", "_attempt", "_take", "job")

    job: CallbackJob

    def __init__(self, attempt: Attempt, arrays: Arrays, take: TakeAnswer) -> None:
        self._attempt = attempt
        self._arrays = arrays
        self._take = take

    def finish(self, result: Arrays | PlatformError) -> None:
        """Record the request and hand its answer over."""
        attempt = self._attempt
        try:
            if isinstance(result, PlatformError):
                attempt.fail_with(result)
                answer: Answer | PlatformError = result
            else:
                answer = attempt.succeed(self._arrays, result, self.job)
        finally:
            attempt.loaded.release()
        self._take(answer)

    def cancel(self) -> None:
        """Take the rows out of the queue: the client has gone."""
        if self.job.take is None:
            return
        self.job.cancel()
        self._attempt.fail(CLIENT_GONE, "client_gone")
        self._attempt.loaded.release()
