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
from inference.attempts import CLIENT_GONE, Answer, Attempt, ReadInputs, StartedPrediction, TakeAnswer
from inference.engines import Arrays
from inference.protocols.json_arrays import rows_from_arrays
from inference.protocols.tf_rows import arrays_from_instances
from inference.recording_api import (
    Metrics,
    NoMetrics,
    NoRecorder,
    Origin,
    Recorder,
)
from inference.routing_table import RoutingTable
from inference.scheduler import BatchLimits, DeviceSlots, Priority
from inference.scheduler.overload import OverloadGuard
from inference.statistics import CountedMetrics, ServingStatistics


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

    def _begin(self, endpoint: str, *, version: int | None, label: str | None, key: str | None) -> Attempt:
        time_s, started = time.time(), time.monotonic()
        try:
            self.guard.refuse_if_behind(started)
            loaded = self.table.hold(endpoint, version=version, label=label, key=key)
        except PlatformError as error:
            if endpoint in self.table.routes:
                status, latency_s = error.http_status, time.monotonic() - started
                self.metrics.count_prediction(endpoint=endpoint, version=0, http_status=status, latency_s=latency_s)
            raise
        return Attempt(loaded, time_s, started, recorder=self.recorder, metrics=self.metrics)

    def _deadline(self, attempt: Attempt, deadline_s: float | None) -> float:
        timeout_s = attempt.urgency.timeout_s
        if timeout_s is not None:
            deadline_s = min(timeout_s, self._max_deadline_s if deadline_s is None else deadline_s)
        return attempt.started + (self._deadline_s if deadline_s is None else deadline_s)


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
