"""Rows to calibrate with and rows to measure on, never the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import WARMUP_INPUTS, Arrays, Manifest, read_arrays
from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.tensors import FREE
from training.data.dataset import Dataset, Part, Target
from training.data.sources import load_dataset
from training.data.targets import CLASSIFICATION, REGRESSION
from training.exporting.messages import ExportOrder, HeldOutData, Quantization
from training.importing.samples import read_samples
from training.importing.scores import encode_truth

Array = np.ndarray[Any, Any]

CALIBRATION_ROWS = 200
MEASURED_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Rows:
    """`truth`: labels (texts) or numbers, None if it is not known. `calibration` may be empty."""

    calibration: Arrays
    measured: Arrays
    truth: Array | None
    source: str
    is_training_data: bool | None


def choose_rows(order: ExportOrder, scratch: Path) -> Rows:
    """Return the rows of an order's data; without data, the artifact's warm-up rows to compare outputs on.

    Raises: InvalidInputError if the data does not fit the model.
    """
    data, manifest = order.data, order.manifest
    if data is None:
        return _warmup_rows(order, "warm-up rows")
    try:
        return _from_samples(data, manifest) if data.samples else _from_source(data, manifest, scratch)
    except PlatformError as error:
        if not data.is_own:
            raise
        reason = f"{data.uri or data.samples} cannot be used: {error.message}"
        if order.quantize is Quantization.INT8:
            raise InvalidInputError(f"{reason}; name other representative rows with --data or --samples") from error
        return _warmup_rows(order, f"warm-up rows, since {reason}")


def _warmup_rows(order: ExportOrder, source: str) -> Rows:
    inputs = read_arrays(Path(order.artifact) / WARMUP_INPUTS)
    return Rows(calibration={}, measured=inputs, truth=None, source=source, is_training_data=None)


def _from_source(data: HeldOutData, manifest: Manifest, scratch: Path) -> Rows:
    """Split as training did: calibrate on training rows, measure on the test rows."""
    task = REGRESSION if manifest.task == REGRESSION else CLASSIFICATION
    dataset = load_dataset(data.uri, target=data.target or None, seed=data.seed, scratch=scratch, task=task)
    unknown = set(dataset.labels) - set(manifest.labels)
    if unknown:
        raise InvalidInputError(
            f"'{data.uri}' has labels that the model does not know: {', '.join(sorted(unknown)[:5])}"
        )
    random = np.random.default_rng(data.seed)
    chosen = np.sort(random.permutation(len(dataset.train))[:CALIBRATION_ROWS])
    tested = np.sort(random.permutation(len(dataset.test))[:MEASURED_ROWS])
    return Rows(
        calibration=_as_model_takes(dataset.train, chosen, dataset, manifest),
        measured=_as_model_takes(dataset.test, tested, dataset, manifest),
        truth=_truth(dataset, tested),
        source=data.uri,
        is_training_data=dataset.fingerprint == data.fingerprint if data.fingerprint else None,
    )


def _truth(dataset: Dataset, rows: Array) -> Array:
    truth = dataset.test.labels[rows]
    if dataset.target is Target.NUMBER:
        return truth.astype(np.float64)
    return np.array([dataset.labels[i] for i in truth], dtype=object)


def _as_model_takes(part: Part, rows: Array, dataset: Dataset, manifest: Manifest) -> Arrays:
    inputs, _ = part.rows(rows)
    specs = manifest.signature.inputs
    if len(specs) == 1 and len(inputs) == 1:
        inputs = {specs[0].name: next(iter(inputs.values()))}
    image = manifest.image
    if dataset.image is not None and image is not None and (image.low, image.high) != (0.0, 255.0):
        inputs = {name: image.low + array / 255.0 * (image.high - image.low) for name, array in inputs.items()}
    for spec in specs:
        if spec.name not in inputs:
            raise InvalidInputError(f"the data has no '{spec.name}'; it has: {', '.join(inputs)}")
    cast = {s.name: inputs[s.name].astype(s.dtype.numpy, copy=False) for s in specs}
    for spec in specs:
        if spec.shape[0] == FREE:
            spec.check(cast[spec.name])
    return cast


def _from_samples(data: HeldOutData, manifest: Manifest) -> Rows:
    """Half of the rows, at most 200, calibrate; the others are measured on."""
    samples = read_samples(Path(data.samples), manifest.signature.inputs, target=data.target)
    order = np.random.default_rng(data.seed).permutation(samples.rows)
    count = min(CALIBRATION_ROWS, samples.rows // 2)
    calibration, measured = np.sort(order[:count]), np.sort(order[count : count + MEASURED_ROWS])
    truth = None
    if samples.labels is not None:
        first = manifest.signature.outputs[0]
        _, truth = encode_truth(samples.labels[measured], manifest.labels, first, task=manifest.task)
    return Rows(
        calibration={name: array[calibration] for name, array in samples.inputs.items()},
        measured={name: array[measured] for name, array in samples.inputs.items()},
        truth=truth,
        source=Path(data.samples).name,
        is_training_data=None,
    )
