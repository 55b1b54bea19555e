"""One serving process: puts reconciler, recorder and the data plane's runtime together.

Started by the process's lifespan, never by a management command or at import.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from aiplatform.contracts.monitoring import IngestReceipt, RecordPredictions
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.services import monitoring_client, training_client
from inference import metrics
from inference.choice import EngineWish
from inference.compiling.here import compiler_queue, pack_store
from inference.compiling.supply import EngineSupply
from inference.connections import tidy_connections
from inference.engines import EngineOptions
from inference.loaded import LoadedVersion, load_version
from inference.reconcile.loading import make_loader
from inference.reconcile.loop import ReconcileLoop
from inference.reconcile.reconciler import Reconciler
from inference.reconcile.shelf import Improvement
from inference.reconcile.store import DatabaseStore
from inference.recording.recorder import PredictionRecorder, RecorderLimits
from inference.recording.spool import Spool
from inference.selectors import HEARTBEAT_INTERVAL_S
from inference.serving import ServingRuntime, runtime

log = structlog.get_logger(__name__)

MEMORY_FILE = "inference-state.json"
# Of GRACEFUL_STOP_S; what is left is for the server itself.
DRAIN_SHARE = 0.4
FLUSH_SHARE = 0.4


class Replica:
    """Serves, records, follows the desired state; `start` and `stop` once each."""

    def __init__(self, serving: ServingRuntime) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._serving = serving
        self._loop = ReconcileLoop(interval_s=settings.RECONCILE_INTERVAL_S)
        self._recorder = _make_recorder(self.name)
        counting = metrics.PrometheusMetrics()
        serving.connect(recorder=self._recorder, metrics=counting)
        supply = _make_supply()
        self.reconciler = Reconciler(
            replica=self.name,
            store=DatabaseStore(),
            table=serving.table,
            load=make_loader(cache=settings.ARTIFACT_CACHE_DIR, load=_load_with(serving, counting), supply=supply),
            memory_file=settings.DATA_DIR / MEMORY_FILE,
            read_aliases=read_aliases,
            heartbeat_interval_s=HEARTBEAT_INTERVAL_S,
            on_change=self._loop.wake,
            on_ready=metrics.set_endpoint_ready,
            improvement=Improvement(has_better=supply.has_better, interval_s=supply.look_interval_s),
        )

    async def start(self) -> None:
        """Begin to follow the desired state and to record."""
        await self._serving.start()
        self._recorder.start()
        self._loop.start(self.reconciler)
        log.info("replica_started", replica=self.name)

    async def stop(self) -> None:
        """Finish the requests there are, then flush what was recorded."""
        await asyncio.to_thread(self._stop)
        await self._serving.stop()

    def _stop(self) -> None:
        drain_s, flush_s = (settings.GRACEFUL_STOP_S * share for share in (DRAIN_SHARE, FLUSH_SHARE))
        self._loop.stop(drain_s / 2)
        compiler_queue().stop()
        compiler_queue.cache_clear()
        self.reconciler.stop(drain_s)
        self._recorder.stop(flush_s)
        log.info("replica_stopped", replica=self.name)


@functools.cache
def this_replica() -> Replica:
    """Return the replica that this process is."""
    return Replica(runtime())


def readiness() -> dict[str, Any]:
    """Return this process's part of /health/ready."""
    if not this_replica.cache_info().currsize:
        return {"is_ready": False, "detail": "serving has not been started in this process"}
    return this_replica().reconciler.report()


@tidy_connections()
def read_aliases(model: str) -> dict[str, int]:
    """Return the version that each alias of a model stands for, from the registry."""
    versions = training_client().list_model_versions(model).versions
    return {alias: info.version for info in versions for alias in info.aliases}


def engine_options() -> EngineOptions:
    """Return how an engine may use this machine, which it shares with the other workers."""
    return EngineOptions(
        threads=settings.ENGINE_THREADS, workers=max(1, settings.WEB_WORKERS), max_rows=settings.MAX_BATCH_ROWS
    )


def _make_supply() -> EngineSupply:
    return EngineSupply(
        packs=pack_store(),
        compiler=compiler_queue() if settings.COMPILE_ENGINES else None,
        default=settings.ENGINE,
        options=engine_options(),
    )


def _load_with(serving: ServingRuntime, counting: metrics.PrometheusMetrics) -> Any:
    def load(*, endpoint: str, info: ModelVersionInfo, folder: Path, wish: EngineWish) -> LoadedVersion:
        options = serving.options
        return load_version(
            endpoint=endpoint,
            info=info,
            folder=folder,
            limits=options.limits,
            options=engine_options(),
            metrics=counting,
            wish=wish,
        )

    return load


def _make_recorder(replica: str) -> PredictionRecorder:
    @tidy_connections()
    def ship(order: RecordPredictions) -> IngestReceipt:
        return monitoring_client().record_predictions(order)

    spool = Spool(
        settings.DATA_DIR / "spool", replica=replica, max_bytes=settings.SPOOL_MAX_BYTES, on_drop=metrics.count_dropped
    )
    limits = RecorderLimits(
        queue_bytes=settings.RECORDER_QUEUE_BYTES,
        flush_interval_s=settings.RECORDER_FLUSH_INTERVAL_S,
        batch_rows=settings.RECORDER_BATCH_ROWS,
    )
    return PredictionRecorder(
        replica=replica,
        spool=spool,
        ship=ship,
        on_drop=metrics.count_dropped,
        on_spool_bytes=metrics.SPOOL_BYTES.set,
        limits=limits,
    )
