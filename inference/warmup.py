"""The artifact's warm-up samples: what every engine must reproduce before it may serve.

They are real inputs with the trainer's own outputs, a few rows of them; larger batches are tiled
from these.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import WARMUP_INPUTS, WARMUP_OUTPUTS, Arrays, Manifest, read_arrays
from aiplatform.errors import ArtifactError
from aiplatform.tensors import FREE
from inference.engines.base import Engine

# float32 sums in another order differ by about 1e-6; a wrong weight or layout by far more than this.
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-4
PROOF_ROWS = 32  # engines may choose other code for larger batches


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Inputs and the trainer's outputs by tensor name, all with the same number of rows."""

    manifest: Manifest
    inputs: Arrays
    outputs: Arrays

    @property
    def is_batchable(self) -> bool:
        """Say whether any number of rows may go in together."""
        signature = self.manifest.signature
        return all(spec.shape[:1] == (FREE,) for spec in (*signature.inputs, *signature.outputs))

    def tiled(self, rows: int) -> Samples:
        """Return so many rows, the samples again and again."""
        return Samples(manifest=self.manifest, inputs=_tile(self.inputs, rows), outputs=_tile(self.outputs, rows))


def read_samples(folder: Path, manifest: Manifest) -> Samples:
    """Return an artifact's samples.

    Raises: ArtifactError if there are none, or the embedding is missing in them.
    """
    samples = Samples(
        manifest=manifest,
        inputs=_read(folder / WARMUP_INPUTS, manifest),
        outputs=_read(folder / WARMUP_OUTPUTS, manifest),
    )
    if manifest.embedding is not None and manifest.embedding.name not in samples.outputs:
        raise ArtifactError(
            f"{manifest.name} version {manifest.version}: the warm-up samples have no '{manifest.embedding.name}', so "
            "nothing shows that the embedding computed here is that of training"
        )
    return samples


def prove_equal(engine: Engine, samples: Samples, *, most_rows: int = 0) -> float:
    """Run all rows, one, and if given `most_rows`; return the largest error.

    Raises: ArtifactError naming the output that differs, or what the engine raised.
    """
    sizes = [samples]
    if samples.is_batchable:
        sizes = [samples, samples.tiled(1), *([samples.tiled(most_rows)] if most_rows else [])]
    return max(_largest_error(engine, size) for size in sizes)


def tolerance_of(manifest: Manifest) -> str:
    """Return in words how far an engine's outputs may be from the trainer's."""
    outputs = f"{ABSOLUTE_TOLERANCE:g} + {RELATIVE_TOLERANCE:g} of the value"
    if manifest.embedding is None:
        return outputs
    own = f"{RELATIVE_TOLERANCE:g} of its values' root mean square where that is more than {ABSOLUTE_TOLERANCE:g}"
    return f"{outputs}; of '{manifest.embedding.name}' {own}"


def measure_calls(engine: Engine, samples: Samples, *, most_rows: int = 32) -> dict[int, float]:
    """Return how long a call takes by its number of rows, in milliseconds, on a warm engine."""
    rows = sorted({1, most_rows}) if samples.is_batchable else [1]
    found = {}
    for count in rows:
        inputs = samples.tiled(count).inputs if samples.is_batchable else samples.inputs
        engine.run(inputs)
        started = time.perf_counter()
        engine.run(inputs)
        found[count] = (time.perf_counter() - started) * 1000
    return found


def _largest_error(engine: Engine, samples: Samples) -> float:
    manifest = samples.manifest
    try:
        outputs = engine.run(samples.inputs)
    except Exception as error:  # an engine may raise anything; it must not serve
        raise ArtifactError(
            f"{manifest.name} version {manifest.version} failed on its warm-up samples: {type(error).__name__}: {error}"
        ) from error
    return max(
        (_check_same(manifest, name, array, outputs.get(name)) for name, array in samples.outputs.items()), default=0.0
    )


def _check_same(
    manifest: Manifest, name: str, expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any] | None
) -> float:
    who = f"{manifest.name} version {manifest.version}: output '{name}'"
    if got is None or got.shape != expected.shape:
        shape = "missing" if got is None else f"of shape {list(got.shape)}"
        raise ArtifactError(f"{who} is {shape} on the warm-up samples, not of shape {list(expected.shape)}")
    if expected.dtype.kind not in "fc":
        if not np.array_equal(_texts(got), _texts(expected)):
            raise ArtifactError(f"{who} differs from the trainer's on the warm-up samples")
        return 0.0
    if expected.size == 0:
        return 0.0
    largest = float(np.max(np.abs(np.nan_to_num(got) - np.nan_to_num(expected))))
    absolute = _absolute_tolerance(manifest, name, expected)
    if np.allclose(got, expected, rtol=RELATIVE_TOLERANCE, atol=absolute, equal_nan=True):
        return largest
    raise ArtifactError(
        f"{who} differs from the trainer's by up to {largest:.3g} on the warm-up samples; "
        f"allowed are {absolute:.3g} + {RELATIVE_TOLERANCE:g} of the value"
    )


def _absolute_tolerance(manifest: Manifest, name: str, expected: np.ndarray[Any, Any]) -> float:
    """Return what a value may be off whatever its size: an embedding's sums up a whole layer, even where it is 0."""
    if manifest.embedding is None or name != manifest.embedding.name:
        return ABSOLUTE_TOLERANCE
    size = float(np.sqrt(np.mean(np.square(np.nan_to_num(expected), dtype=np.float64))))
    return max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * size)


def _read(path: Path, manifest: Manifest) -> Arrays:
    if not path.exists():
        raise ArtifactError(
            f"{manifest.name} version {manifest.version} has no warm-up samples ({path.name}), so nothing "
            "shows that it computes here what it computed in training"
        )
    return read_arrays(path)


def _tile(arrays: Arrays, rows: int) -> Arrays:
    return {name: np.resize(array, (rows, *array.shape[1:])) for name, array in arrays.items()}


def _texts(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind != "O":
        return array
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel().tolist()]
    return np.array(texts, dtype=object)
