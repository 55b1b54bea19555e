"""One version of a model, ready to answer: engine, queue, and the count of who is using it.

Loading chooses an engine (see `inference/choice.py`) and checks it against the trainer's own outputs
in `warmup/`, so that a version that computes something else never answers a request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from aiplatform.artifacts import MANIFEST, WARMUP_INPUTS, Manifest, decode_manifest
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import PlatformError
from inference.choice import EngineChoice, EngineWish, choose_engine, fall_back
from inference.engine_host.client import HostedEngine
from inference.engines import Arrays, Engine, EngineKind, EngineOptions, load_engine, open_engine
from inference.recording_api import Metrics, NoMetrics, Source
from inference.scheduler import BatchLimits, BatchQueue, DeviceSlots
from inference.warmup import measure_calls, prove_equal, read_samples

log = structlog.get_logger(__name__)

EngineLoader = Callable[[Path, Manifest, EngineOptions], Engine]
ConvertedOpener = Callable[[EngineKind, Path, Manifest, EngineOptions], Engine]
Openers = tuple[EngineLoader, ConvertedOpener]


@dataclass(frozen=True, kw_only=True)
class RunningEngine:
    """Which engine runs a version here, and how quick it is.

    `call_ms` is how long a call takes by its number of rows. `pack` names the engine pack that was
    looked at; `note` says why no better engine runs, where that is worth knowing.
    """

    name: str = ""
    threads: int = 0
    call_ms: Mapping[int, float] = field(default_factory=dict)
    pack: str = ""
    note: str = ""


class Mirror(Protocol):
    """Takes copies of what was answered; never blocks, never raises."""

    def offer(self, inputs: Arrays, outputs: Arrays, latency_s: float) -> None: ...


class LoadedVersion:
    """A version that serves, until it is drained and closed."""

    def __init__(
        self,
        *,
        endpoint: str,
        info: ModelVersionInfo,
        manifest: Manifest,
        engine: Engine,
        queue: BatchQueue,
        running: RunningEngine | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.info = info
        self.manifest = manifest
        self.source = Source(
            endpoint=endpoint,
            model=info.model,
            version=info.version,
            artifact_uri=info.artifact_uri,
            artifact_digest=info.artifact_digest,
            labels=manifest.labels,
        )
        self.queue = queue
        self.running = running or RunningEngine()
        self.memory_bytes = 0  # what it took to load; set by whoever could measure it
        self.mirror: Mirror | None = None  # set while copies of the requests go to a shadow
        self._engine = engine
        self._users = 0
        self._is_draining = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    @property
    def version(self) -> int:
        """Return the version's number."""
        return self.info.version

    def hold(self) -> bool:
        """Count one more user; False if it takes no new ones. Pair with `release`."""
        with self._lock:  # not the condition, whose own `with` takes several times as long
            if self._is_draining:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Count one user less."""
        with self._lock:
            self._users -= 1
            if self._is_draining:
                self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Take no new users and wait for those there are; say whether all have gone."""
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: self._users == 0, timeout_s)

    def close(self) -> None:
        """Fail what still waits, stop the engine's thread and give the memory back."""
        self.drain(0)
        self.queue.close()
        self._engine.close()


def load_version(
    *,
    endpoint: str,
    info: ModelVersionInfo,
    folder: Path,
    limits: BatchLimits | None = None,
    options: EngineOptions | None = None,
    metrics: Metrics | None = None,
    loader: EngineLoader = load_engine,
    open_converted: ConvertedOpener = open_engine,
    slots: DeviceSlots | None = None,
    wish: EngineWish | None = None,
) -> LoadedVersion:
    """Load a version from a local, verified artifact folder, warm it up and check it.

    `wish` says which engine is wanted and what is compiled; `loader` opens the artifact's own format,
    `open_converted` what was compiled from it.
    Raises: ArtifactError if it cannot be loaded or does not reproduce its warm-up samples;
    InvalidConfigurationError if a pinned engine is not to be had.
    """
    manifest = decode_manifest((folder / MANIFEST).read_bytes())
    options = options or EngineOptions()
    openers = (loader, open_converted)
    engine, running = _open_wished(folder, manifest, options, openers, wish or EngineWish())
    queue = BatchQueue(
        endpoint=endpoint,
        version=info.version,
        engine=engine,
        signature=manifest.signature,
        limits=limits or BatchLimits(),
        metrics=metrics or NoMetrics(),
        call_ms=running.call_ms,
        padding=manifest.padding,
        slots=slots,
        concurrency=_useful_concurrency(engine, running),
    )
    return LoadedVersion(endpoint=endpoint, info=info, manifest=manifest, engine=engine, queue=queue, running=running)


def warm_up(engine: Engine, folder: Path, manifest: Manifest) -> None:
    """Run the artifact's warm-up samples, one row and all, and compare with the trainer's outputs.

    A remote model may have none: its own server answers for it.
    Raises: ArtifactError naming the output that differs most.
    """
    if _has_no_samples(folder, manifest):
        return
    prove_equal(engine, read_samples(folder, manifest))


def _useful_concurrency(engine: Engine, running: RunningEngine) -> int:
    """Return how many calls at once are worth it: an engine that uses several cores for one call wants no second."""
    is_elsewhere = isinstance(engine, HostedEngine) or running.name == EngineKind.REMOTE
    return engine.concurrency if is_elsewhere or running.threads <= 1 else 1


def _open_wished(
    folder: Path, manifest: Manifest, options: EngineOptions, openers: Openers, wish: EngineWish
) -> tuple[Engine, RunningEngine]:
    choice = choose_engine(manifest, wish, allowed_threads=options.thread_count)
    try:
        return _open(folder, manifest, options, openers, choice)
    except PlatformError as error:
        if choice.is_native or choice.is_pinned:
            raise
        log.warning("engine_not_usable", model=manifest.name, engine=choice.name, error=error.message)
        return _open(folder, manifest, options, openers, fall_back(manifest, choice, error.message))


def _open(
    folder: Path, manifest: Manifest, options: EngineOptions, openers: Openers, choice: EngineChoice
) -> tuple[Engine, RunningEngine]:
    threads = options.threads or choice.threads or options.thread_count  # an operator's number goes first
    call_ms = choice.call_ms if threads == choice.threads else {}
    options = replace(options, threads=threads)
    load_native, open_converted = openers
    if choice.is_native:
        engine = load_native(folder, manifest, options)
    else:
        engine = open_converted(EngineKind(choice.name), choice.files or folder / "model", manifest, options)
    try:
        warm_up(engine, folder, manifest)
        call_ms = call_ms or _measure(engine, folder, manifest, options)
    except Exception:
        engine.close()
        raise
    running = RunningEngine(name=choice.name, threads=threads, call_ms=call_ms, pack=choice.pack, note=choice.note)
    return engine, running


def _measure(engine: Engine, folder: Path, manifest: Manifest, options: EngineOptions) -> dict[int, float]:
    if _has_no_samples(folder, manifest):
        return {}
    return measure_calls(engine, read_samples(folder, manifest), most_rows=min(32, options.max_rows))


def _has_no_samples(folder: Path, manifest: Manifest) -> bool:
    return manifest.framework == EngineKind.REMOTE and not (folder / WARMUP_INPUTS).exists()
