"""One version of a model, ready to answer: engine, queue, and the count of who is using it.

Loading checks the engine against the trainer's own outputs in `warmup/`, so that a version that
computes something else never answers a request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import MANIFEST, WARMUP_INPUTS, WARMUP_OUTPUTS, Manifest, decode_manifest, read_arrays
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import ArtifactError
from inference.engines import Arrays, Engine, EngineOptions, load_engine
from inference.recording_api import Metrics, NoMetrics
from inference.scheduler import BatchLimits, BatchQueue, DeviceSlots

# float32 sums in another order differ by about 1e-6; a wrong weight or layout by far more than this.
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-4

TIMED_CALLS = 5

EngineLoader = Callable[[Path, Manifest, EngineOptions], Engine]


class LoadedVersion:
    """A version that serves, until it is drained and closed."""

    def __init__(
        self, *, endpoint: str, info: ModelVersionInfo, manifest: Manifest, engine: Engine, queue: BatchQueue
    ) -> None:
        self.endpoint = endpoint
        self.info = info
        self.manifest = manifest
        self.queue = queue
        self._engine = engine
        self._users = 0
        self._is_draining = False
        self._changed = threading.Condition()

    @property
    def version(self) -> int:
        """Return the version's number."""
        return self.info.version

    def hold(self) -> bool:
        """Count one more user; False if it takes no new ones. Pair with `release`."""
        with self._changed:
            if self._is_draining:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Count one user less."""
        with self._changed:
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
    slots: DeviceSlots | None = None,
) -> LoadedVersion:
    """Load a version from a local, verified artifact folder, warm it up and check it.

    Raises: ArtifactError if it cannot be loaded or does not reproduce its warm-up samples.
    """
    manifest = decode_manifest((folder / MANIFEST).read_bytes())
    engine = loader(folder, manifest, options or EngineOptions())
    try:
        warm_up(engine, folder, manifest)
        call_ms = time_calls(engine, read_arrays(folder / WARMUP_INPUTS), manifest)
    except Exception:
        engine.close()
        raise
    queue = BatchQueue(
        endpoint=endpoint,
        version=info.version,
        engine=engine,
        signature=manifest.signature,
        limits=limits or BatchLimits(),
        metrics=metrics or NoMetrics(),
        call_ms=call_ms,
        padding=manifest.padding,
        slots=slots,
    )
    return LoadedVersion(endpoint=endpoint, info=info, manifest=manifest, engine=engine, queue=queue)


def warm_up(engine: Engine, folder: Path, manifest: Manifest) -> None:
    """Run the artifact's warm-up samples, one row and all, and compare with the trainer's outputs.

    Raises: ArtifactError naming the output that differs most.
    """
    inputs = _samples(folder / WARMUP_INPUTS, manifest)
    expected = _samples(folder / WARMUP_OUTPUTS, manifest)
    try:
        if all(spec.shape[:1] == (-1,) for spec in manifest.signature.inputs):
            engine.run({name: array[:1] for name, array in inputs.items()})
        outputs = engine.run(inputs)
    except Exception as error:  # an engine may raise anything; it must not serve
        raise ArtifactError(
            f"{manifest.name} version {manifest.version} failed on its warm-up samples: {type(error).__name__}: {error}"
        ) from error
    for name, array in expected.items():
        _check_same(manifest, name, array, outputs.get(name))


def time_calls(engine: Engine, samples: Arrays, manifest: Manifest) -> dict[int, float]:
    """Return what a call takes in milliseconds by its rows, the best of some: 1 row if rows are free, else all."""
    is_free = all(spec.shape[:1] == (-1,) for spec in manifest.signature.inputs)
    inputs = {name: array[:1] for name, array in samples.items()} if is_free else samples
    times_s = []
    for _ in range(TIMED_CALLS):
        started = time.perf_counter()
        engine.run(inputs)
        times_s.append(time.perf_counter() - started)
    return {1: min(times_s) * 1000}


def _samples(path: Path, manifest: Manifest) -> Arrays:
    if not path.exists():
        raise ArtifactError(
            f"{manifest.name} version {manifest.version} has no warm-up samples ({path.name}), so nothing "
            "shows that it computes here what it computed in training"
        )
    return read_arrays(path)


def _check_same(
    manifest: Manifest, name: str, expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any] | None
) -> None:
    who = f"{manifest.name} version {manifest.version}: output '{name}'"
    if got is None or got.shape != expected.shape:
        shape = "missing" if got is None else f"of shape {list(got.shape)}"
        raise ArtifactError(f"{who} is {shape} on the warm-up samples, not of shape {list(expected.shape)}")
    if expected.dtype.kind not in "fc":
        if not np.array_equal(_texts(got), _texts(expected)):
            raise ArtifactError(f"{who} differs from the trainer's on the warm-up samples")
        return
    if np.allclose(got, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True):
        return
    largest = float(np.max(np.abs(np.nan_to_num(got) - np.nan_to_num(expected))))
    raise ArtifactError(
        f"{who} differs from the trainer's by up to {largest:.3g} on the warm-up samples; "
        f"allowed are {ABSOLUTE_TOLERANCE:g} + {RELATIVE_TOLERANCE:g} of the value"
    )


def _texts(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind != "O":
        return array
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel().tolist()]
    return np.array(texts, dtype=object)
