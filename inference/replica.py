"""One serving process: puts reconciler, recorder and the data plane's runtime together.

Started by the process's lifespan, never by a management command or at import.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from aiplatform.artifacts import MANIFEST, Manifest, decode_manifest
from aiplatform.contracts.monitoring import IngestReceipt, RecordComparisons
from aiplatform.contracts.training import HoldingsReceipt, ModelVersionInfo, ReportHoldings
from aiplatform.machine import resident_bytes
from aiplatform.services import monitoring_client, training_client
from inference import metrics
from inference.choice import EngineWish
from inference.compiling.here import compiler_queue, pack_store
from inference.compiling.supply import EngineSupply
from inference.connections import tidy_connections
from inference.engine_host.client import open_hosted
from inference.engines import Engine, EngineKind, EngineOptions, load_engine, native_kind, open_engine
from inference.holdings import INTERVAL_S as HOLDINGS_INTERVAL_S
from inference.holdings import HoldingsReporter
from inference.loaded import LoadedVersion, load_version
from inference.memory import available_bytes, check_memory, model_bytes
from inference.reconcile.loading import make_loader
from inference.reconcile.loop import ReconcileLoop
from inference.reconcile.reconciler import Reconciler
from inference.reconcile.shelf import Improvement
from inference.reconcile.store import DatabaseStore
from inference.recording.job import make_keeper, make_policy_book, open_spool, ship
from inference.recording.policies import PolicyBook
from inference.recording.recorder import PredictionRecorder, RecorderLimits
from inference.recording_api import Metrics, NoMetrics, NoRecorder, Recorder
from inference.replay.worker import ReplayWorker
from inference.selectors import HEARTBEAT_INTERVAL_S
from inference.serving import ServingRuntime, runtime
from inference.shadow.lane import LaneLimits, ShadowLane
from inference.shadow.shipping import ComparisonShipper
from inference.shadow.tally import Tally

log = structlog.get_logger(__name__)

START_PATIENCE_S = 60.0  # what loads longer comes later; the worker's own time-out is twice this
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
        self._policies = make_policy_book()
        self._policy_loop = ReconcileLoop(interval_s=settings.STORE_POLICY_REFRESH_S, name="store-policies")
        self._recorder = _make_recorder(self.name, self._policies)
        counting: Metrics = metrics.PrometheusMetrics() if settings.COUNT_REQUESTS else NoMetrics()
        recorder: Recorder = self._recorder if settings.RECORD_PREDICTIONS else NoRecorder()
        serving.connect(recorder=recorder, metrics=counting)
        supply = _make_supply()
        tally = Tally()
        self._shadows = ShadowLane(tally=tally, limits=_lane_limits())
        self._comparisons = ComparisonShipper(
            replica=self.name, tally=tally, ship=tidy_connections()(_ship_comparisons)
        )
        self.reconciler = Reconciler(
            replica=self.name,
            store=DatabaseStore(),
            table=serving.table,
            load=make_loader(cache=settings.ARTIFACT_CACHE_DIR, load=_load_with(serving), supply=supply),
            memory_file=settings.DATA_DIR / MEMORY_FILE,
            read_aliases=read_aliases,
            heartbeat_interval_s=HEARTBEAT_INTERVAL_S,
            on_change=self._loop.wake,
            on_ready=metrics.set_endpoint_ready,
            improvement=Improvement(has_better=supply.has_better, interval_s=supply.look_interval_s),
            mirrors=self._shadows,
        )
        self._holdings = HoldingsReporter(
            replica=self.name, list_loaded=self.reconciler.list_loaded, tell=tidy_connections()(tell_holdings)
        )
        self._holdings_loop = ReconcileLoop(interval_s=HOLDINGS_INTERVAL_S, name="holdings")
        self._replays = ReplayWorker(replica=self.name, table=serving.table, share=settings.SHADOW_SHARE)

    async def start(self) -> None:
        """Begin to follow the desired state and to record.

        A worker takes connections only after this: one that replaces another must not answer 503 while it loads.
        """
        await self._serving.start()
        self._recorder.start()
        if settings.RECORD_PREDICTIONS:
            self._policy_loop.start(self._policies)
        self._loop.start(self)
        self._comparisons.start()
        self._replays.start()
        self._holdings_loop.start(self._holdings)
        await self._wait_for_versions()
        log.info("replica_started", replica=self.name)

    async def _wait_for_versions(self) -> None:
        until = time.monotonic() + START_PATIENCE_S
        while not self.reconciler.has_begun and time.monotonic() < until:
            await asyncio.sleep(0.02)

    def step(self) -> None:
        """Follow the desired state by a step, and look for replays, all by the loop's one connection."""
        self.reconciler.step()
        self._replays.look_out()

    async def stop(self) -> None:
        """Finish the requests there are, then flush what was recorded."""
        await asyncio.to_thread(self._stop)
        await self._serving.stop()

    def _stop(self) -> None:
        drain_s, flush_s = (settings.GRACEFUL_STOP_S * share for share in (DRAIN_SHARE, FLUSH_SHARE))
        self._loop.stop(drain_s / 2)
        self._shadows.stop(drain_s / 8)
        self._replays.stop(drain_s / 8)
        self._comparisons.stop(drain_s / 4)
        self._policy_loop.stop(0.0)  # it may wait for monitoring, and holds nothing
        self._holdings_loop.stop(0.0)  # the same, for training
        compiler_queue().stop()
        compiler_queue.cache_clear()
        self.reconciler.stop(drain_s)
        self._recorder.stop(flush_s)
        self._holdings.stop(timeout_s=drain_s / 4)
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


def _load_with(serving: ServingRuntime) -> Any:
    def load(*, endpoint: str, info: ModelVersionInfo, folder: Path, wish: EngineWish) -> LoadedVersion:
        manifest = decode_manifest((folder / MANIFEST).read_bytes())
        check_memory(manifest, reserve_bytes=settings.MEMORY_RESERVE_BYTES, available=available_bytes())
        options = serving.options
        before_bytes, _ = resident_bytes()
        loaded = load_version(
            endpoint=endpoint,
            info=info,
            folder=folder,
            limits=options.limits,
            options=engine_options(),
            metrics=serving.service.metrics,
            slots=serving.slots,
            loader=_load_in_host if settings.ENGINE_HOST else load_engine,
            open_converted=_open_in_host if settings.ENGINE_HOST else open_engine,
            wish=wish,
        )
        loaded.memory_bytes = _taken_bytes(manifest, before_bytes)
        return loaded

    return load


def _taken_bytes(manifest: Manifest, before_bytes: int) -> int:
    """Return what a version takes: how much this process has grown by it, or its files, if that is more.

    Versions are loaded one after the other. An engine in another process, or on another server, takes nothing here.
    """
    if settings.ENGINE_HOST or manifest.framework == EngineKind.REMOTE:
        return 0
    after_bytes, _ = resident_bytes()
    return max(after_bytes - before_bytes, model_bytes(manifest))


def engine_host_path() -> Path:
    """Return the socket of this machine's engine host."""
    path: Path = settings.DATA_DIR / "engines.sock"
    return path


def _load_in_host(folder: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    return _open_in_host(native_kind(manifest), folder / "model", manifest, options)


def _open_in_host(kind: EngineKind, model: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    return open_hosted(
        engine_host_path(),
        kind,
        model,
        manifest,
        options,
        timeout_s=settings.PREDICT_MAX_DEADLINE_S,
    )


def _lane_limits() -> LaneLimits:
    return LaneLimits(
        requests=settings.SHADOW_QUEUE_REQUESTS,
        queue_bytes=settings.SHADOW_QUEUE_BYTES,
        share=settings.SHADOW_SHARE,
    )


def tell_holdings(report: ReportHoldings) -> HoldingsReceipt:
    """Have training's ledger know what a process holds."""
    return training_client().report_holdings(report)


def _ship_comparisons(order: RecordComparisons) -> IngestReceipt:
    return monitoring_client().record_comparisons(order)


def _make_recorder(replica: str, policies: PolicyBook) -> PredictionRecorder:
    limits = RecorderLimits(
        queue_bytes=settings.RECORDER_QUEUE_BYTES,
        flush_interval_s=settings.RECORDER_FLUSH_INTERVAL_S,
        batch_rows=settings.RECORDER_BATCH_ROWS,
        watched_rows_per_s=settings.WATCHED_ROWS_PER_S,
    )
    return PredictionRecorder(
        replica=replica,
        spool=open_spool(replica),
        ship=tidy_connections()(ship),
        on_drop=metrics.count_dropped,
        limits=limits,
        keeper=make_keeper(replica, policies),
    )
