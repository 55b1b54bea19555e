"""Predicts: choose a version, read the inputs as its signature wants them, run, record.

Every way in (the wire protocols, calls inside the platform) goes through `PredictService`, so
that all are queued, counted and recorded alike. `runtime()` holds what one process serves.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from django.conf import settings

from aiplatform.artifacts import Manifest
from aiplatform.contracts.inference import Predictions, PredictRows
from aiplatform.errors import PlatformError
from aiplatform.http.asgi_body import ClientDisconnectedError
from inference.embeddings import set_embedding_apart, take_embedding
from inference.engines import Arrays
from inference.loaded import LoadedVersion
from inference.prediction_ids import new_prediction_id
from inference.protocols.json_arrays import rows_from_arrays
from inference.protocols.messages import InferRequest
from inference.protocols.tensor_rules import check_inputs
from inference.protocols.tf_rows import arrays_from_instances
from inference.protocols.urgency import ORDINARY
from inference.recording_api import (
    EVENT_BYTES,
    CallRows,
    Metrics,
    NoMetrics,
    NoRecorder,
    Origin,
    PredictionEvent,
    Recorder,
)
from inference.routing_table import RoutingTable
from inference.scheduler import BatchLimits, CallbackJob, DeviceSlots, Priority
from inference.scheduler.overload import OverloadGuard
from inference.statistics import CountedMetrics, ServingStatistics

ReadInputs = Callable[[Manifest], "Arrays | InferRequest"]  # a request may say how urgent it is, and of whom
# By V2's numbers: 1 goes first, 0 is whatever holds without it.
PRIORITIES = {1: Priority.HIGH, 2: Priority.NORMAL, 3: Priority.LOW}
CLIENT_GONE = 499  # the customary status for a request whose client left before the answer


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """What an operator may set."""

    limits: BatchLimits
    slots: int = 1
    deadline_s: float
    max_deadline_s: float
    max_body_bytes: int
    max_image_pixels: int
    routing_key_header: str = ""
    max_loop_lag_s: float = 0.0


@dataclass(slots=True)  # not frozen: one is made for each request
class Answer:
    """The outputs of one request, all rows, by name in the signature's order."""

    prediction_id: str
    version: int
    manifest: Manifest
    outputs: Arrays


TakeAnswer = Callable[["Answer | PlatformError"], None]


class PredictService:
    """Answers for all endpoints of a routing table, from coroutines and from threads."""

    def __init__(
        self,
        *,
        table: RoutingTable,
        recorder: Recorder,
        metrics: Metrics,
        deadline_s: float = 10.0,
        max_deadline_s: float = 60.0,
        guard: OverloadGuard | None = None,
    ) -> None:
        self.table = table
        self.recorder = recorder
        self.metrics = metrics
        self._deadline_s = deadline_s
        self.guard = guard or OverloadGuard(max_lag_s=0.0)
        self._max_deadline_s = max_deadline_s

    async def predict(
        self,
        endpoint: str,
        *,
        inputs: Arrays | ReadInputs,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        deadline_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        reads_slowly: bool = False,
        origin: Origin | None = None,
        watch: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> Answer:
        """Predict. `inputs` may be a function, called once the version is known.

        `watch` makes what stands guard while rows wait for threads; those that run on the event loop do not wait.
        `reads_slowly` has it called in a thread, so that other requests need not wait. `origin` says
        where it comes from.
        Raises: NotFoundError, InvalidInputError, QueueFullError, DeadlineExceededError,
        UnavailableError; PlatformError if the engine fails.
        """
        attempt = self._begin(endpoint, version=version, label=label, key=key)
        attempt.note_origin(origin)
        try:
            attempt.loaded.queue.refuse_if_full()
            arrays = await asyncio.to_thread(attempt.read, inputs) if reads_slowly else attempt.read(inputs)
            queue, deadline = attempt.loaded.queue, self._deadline(attempt, deadline_s)
            with nullcontext() if watch is None or queue.is_inline else watch():
                outputs = await queue.run(arrays, deadline=deadline, priority=attempt.priority_or(priority))
            return attempt.succeed(arrays, outputs)
        except (asyncio.CancelledError, ClientDisconnectedError):
            attempt.fail(CLIENT_GONE, "client_gone")
            raise
        except Exception as error:
            attempt.fail_with(error)
            raise
        finally:
            attempt.loaded.release()

    def start(
        self,
        endpoint: str,
        *,
        inputs: Arrays | ReadInputs,
        take: TakeAnswer,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        deadline_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        origin: Origin | None = None,
    ) -> StartedPrediction:
        """Do the same on an event loop without a task: `take` gets the answer or the error, later.

        Raises what `predict` raises for requests that cannot wait: then `take` is not called.
        """
        attempt = self._begin(endpoint, version=version, label=label, key=key)
        attempt.note_origin(origin)
        try:
            queue = attempt.loaded.queue
            queue.refuse_if_full()
            arrays = attempt.read(inputs)
            started = StartedPrediction(attempt, arrays, take)
            deadline = self._deadline(attempt, deadline_s)
            started.job = queue.start(
                arrays, deadline=deadline, take=started.finish, priority=attempt.priority_or(priority)
            )
        except Exception as error:
            attempt.fail_with(error)
            attempt.loaded.release()
            raise
        return started

    def predict_blocking(
        self,
        endpoint: str,
        *,
        inputs: Arrays | ReadInputs,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        deadline_s: float | None = None,
    ) -> Answer:
        """Do the same from a thread that may wait, with or without an event loop elsewhere."""
        attempt = self._begin(endpoint, version=version, label=label, key=key)
        try:
            arrays = attempt.read(inputs)
            outputs = attempt.loaded.queue.run_blocking(arrays, deadline=self._deadline(attempt, deadline_s))
            return attempt.succeed(arrays, outputs)
        except Exception as error:
            attempt.fail_with(error)
            raise
        finally:
            attempt.loaded.release()

    def predict_rows(self, rows: PredictRows) -> Predictions:
        """Answer the platform's internal contract; raises as `predict`."""

        def read(manifest: Manifest) -> Arrays:
            return arrays_from_instances(list(rows.instances), manifest.signature)

        answer = self.predict_blocking(rows.endpoint, inputs=read)
        return Predictions(
            prediction_id=answer.prediction_id,
            endpoint=rows.endpoint,
            version=answer.version,
            rows=tuple(rows_from_arrays(answer.outputs)),
            labels=answer.manifest.labels,
        )

    def _begin(self, endpoint: str, *, version: int | None, label: str | None, key: str | None) -> _Attempt:
        time_s, started = time.time(), time.monotonic()
        try:
            self.guard.refuse_if_behind(started)
            loaded = self.table.hold(endpoint, version=version, label=label, key=key)
        except PlatformError as error:
            if endpoint in self.table.routes:
                status, latency_s = error.http_status, time.monotonic() - started
                self.metrics.count_prediction(endpoint=endpoint, version=0, http_status=status, latency_s=latency_s)
            raise
        return _Attempt(self, loaded, time_s, started)

    def _deadline(self, attempt: _Attempt, deadline_s: float | None) -> float:
        timeout_s = attempt.urgency.timeout_s
        if timeout_s is not None:
            deadline_s = min(timeout_s, self._max_deadline_s if deadline_s is None else deadline_s)
        return attempt.started + (self._deadline_s if deadline_s is None else deadline_s)


class _Attempt:
    """One request to one held version, until it is recorded."""

    __slots__ = ("_service", "_time_s", "loaded", "started", "subject", "traceparent", "urgency")

    def __init__(self, service: PredictService, loaded: LoadedVersion, time_s: float, started: float) -> None:
        self._service = service
        self.loaded = loaded
        self._time_s = time_s
        self.started = started
        self.urgency = ORDINARY
        self.traceparent = self.subject = ""

    def note_origin(self, origin: Origin | None) -> None:
        if origin is not None:
            self.traceparent, self.subject = origin

    def read(self, inputs: Arrays | ReadInputs) -> Arrays:
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
        self._record(http_status, None, 0, 1, code)

    def _record(self, http_status: int, call: CallRows | None, start: int, rows: int, code: str = "") -> str:
        latency_s = time.monotonic() - self.started
        source = self.loaded.source
        prediction_id = new_prediction_id(self._time_s)
        service = self._service
        service.metrics.count_prediction(
            endpoint=source.endpoint, version=source.version, http_status=http_status, latency_s=latency_s
        )
        size_bytes = EVENT_BYTES if call is None else EVENT_BYTES + rows * call.row_bytes
        service.recorder.record(
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

    def __init__(self, attempt: _Attempt, arrays: Arrays, take: TakeAnswer) -> None:
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


class ServingRuntime:
    """What one process serves. The control plane fills the table and gives recorder and metrics."""

    def __init__(self, options: ServingOptions) -> None:
        self.options = options
        self.slots = DeviceSlots(options.slots)
        self.table = RoutingTable()
        self.statistics = ServingStatistics()
        self.service = PredictService(
            table=self.table,
            recorder=NoRecorder(),
            metrics=NoMetrics(),
            deadline_s=options.deadline_s,
            max_deadline_s=options.max_deadline_s,
            guard=OverloadGuard(max_lag_s=options.max_loop_lag_s),
        )

    def connect(self, *, recorder: Recorder, metrics: Metrics) -> None:
        """Say who keeps and who counts predictions; before the first version is loaded."""
        self.service.recorder = recorder
        self.service.metrics = CountedMetrics(metrics, self.statistics)

    async def start(self) -> None:
        """Watch the loop; versions are loaded by the control plane's reconcile loop."""
        self.service.guard.start()

    async def stop(self) -> None:
        """Take no new requests, let those in the engines finish, and give memory back."""
        self.service.guard.stop()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Do the same from a thread."""
        loaded = [version for route in self.table.routes.values() for version in route.versions.values()]
        for version in loaded:
            version.drain(self.options.deadline_s)
        self.table.swap({})
        for version in loaded:
            version.close()


def cores_of_this_worker() -> int:
    """Return this worker's share of the cores that the process may use; at least 1."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, settings.WEB_WORKERS))


@functools.cache
def runtime() -> ServingRuntime:
    """Return this process's runtime, set up from the settings."""
    limits = BatchLimits(
        max_batch_rows=settings.MAX_BATCH_ROWS,
        max_queue_rows=settings.MAX_QUEUE_ROWS,
        max_queue_bytes=settings.MAX_QUEUE_BYTES,
        max_queue_delay_ms=settings.MAX_QUEUE_DELAY_MS,
        inline_ms=settings.INLINE_ENGINE_MS,
    )
    return ServingRuntime(
        ServingOptions(
            limits=limits,
            slots=settings.ENGINE_SLOTS or cores_of_this_worker(),
            deadline_s=settings.PREDICT_DEADLINE_S,
            max_deadline_s=settings.PREDICT_MAX_DEADLINE_S,
            max_body_bytes=settings.MAX_BODY_BYTES,
            max_image_pixels=settings.MAX_IMAGE_PIXELS,
            routing_key_header=settings.ROUTING_KEY_HEADER,
            max_loop_lag_s=settings.MAX_LOOP_LAG_MS / 1000,
        )
    )
