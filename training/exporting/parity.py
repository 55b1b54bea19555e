"""Compares an exported model with the version that it was made from: answers, accuracy, size, speed."""

from __future__ import annotations

import os
import platform
import statistics
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.features import summarise_predictions
from aiplatform.tensors import DType, TensorSpec
from training.exporting.messages import ExportOrder, ParityReport, Side
from training.exporting.rows import Rows
from training.importing.outputs import first_rows, predict_all
from training.importing.scores import REGRESSION, score
from training.runtimes import Runtime
from training.runtimes.litert_file import LiteRtRuntime

WARM_CALLS, LEAST_CALLS, TIMED_S = 20, 30, 0.7
_PACKAGES = ("numpy", "tensorflow", "keras", "torch", "onnx", "onnxruntime", "tf2onnx", "onnxscript", "ai-edge-litert")


class FloatIo:
    """A LiteRT model of integer inputs and outputs, asked and answering in real numbers."""

    def __init__(self, runtime: LiteRtRuntime, wanted: tuple[TensorSpec, ...]) -> None:
        self._runtime, self._wanted = runtime, {spec.name: spec for spec in wanted}
        self.inputs, self.outputs = runtime.inputs, runtime.outputs
        self.signature_name = runtime.signature_name

    def run(self, inputs: Arrays) -> Arrays:
        """Quantise, run, and undo it: real = scale * (integer - zero point)."""
        given = {spec.name: self._quantised(spec, inputs[spec.name]) for spec in self.inputs}
        return {name: self._real(name, array) for name, array in self._runtime.run(given).items()}

    def save(self, folder: Path) -> None:
        """Copy the file."""
        self._runtime.save(folder)

    def _quantised(self, spec: TensorSpec, array: Any) -> Any:
        scale, zero = self._runtime.quantization(spec.name)
        if not scale or self._wanted[spec.name].dtype is spec.dtype:
            return array
        limits = np.iinfo(spec.dtype.numpy)
        return np.clip(np.rint(array / scale) + zero, limits.min, limits.max).astype(spec.dtype.numpy)

    def _real(self, name: str, array: Any) -> Any:
        scale, zero = self._runtime.quantization(name)
        return (array.astype(np.float32) - zero) * np.float32(scale) if scale and array.dtype.kind in "iu" else array


def compare(order: ExportOrder, before: Runtime, after: Runtime, rows: Rows, *, file: Path) -> ParityReport:
    """Return the report; both models compute here, with one thread each.

    Raises: InvalidInputError if one of them fails on the rows.
    """
    manifest = order.manifest
    first = manifest.signature.outputs[0].name
    limit = len(next(iter(rows.measured.values())))
    said = predict_all(before, rows.measured, limit=limit)[first]
    says = predict_all(after, rows.measured, limit=limit)[first]
    gap = np.abs(said.astype(np.float64) - says.astype(np.float64))
    own = Path(order.artifact) / "model"
    return ParityReport(
        model=manifest.name,
        version=manifest.version,
        quantize=order.quantize.value,
        before=_side(order, manifest.model_format, before, said, rows, size_bytes=_size(own)),
        after=_side(order, order.form.value, after, says, rows, size_bytes=_size(file)),
        compared_rows=len(said),
        calibration_rows=len(next(iter(rows.calibration.values()), ())),
        data=rows.source,
        is_training_data=rows.is_training_data,
        agreement=_agreement(said, says, manifest.labels, manifest.task),
        largest_difference=float(gap.max(initial=0.0)),
        mean_difference=float(gap.mean()),
        labels=manifest.labels,
        packages=_packages(),
        machine=describe_machine(),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _side(order: ExportOrder, form: str, runtime: Runtime, outputs: Any, rows: Rows, *, size_bytes: int) -> Side:
    manifest = order.manifest
    truth = None if rows.truth is None else rows.truth[: len(outputs)]
    metrics = {} if truth is None else score(outputs, truth, manifest.labels, task=manifest.task)
    row = first_rows(manifest.signature.inputs, rows.measured, 1)
    return Side(format=form, size_bytes=size_bytes, latency_ms=_median_ms(runtime, row), metrics=metrics)


def _agreement(said: Any, says: Any, labels: tuple[str, ...], task: str) -> float | None:
    if task == REGRESSION:
        return None
    both = [summarise_predictions({"first": outputs}, labels).labels for outputs in (said, says)]
    if both[0] is None or both[1] is None:
        return None
    return float(np.mean(np.array(both[0], dtype=object) == np.array(both[1], dtype=object)))


def _median_ms(runtime: Runtime, row: Arrays) -> float:
    for _ in range(WARM_CALLS):
        runtime.run(row)
    taken: list[float] = []
    until = time.perf_counter() + TIMED_S
    while len(taken) < LEAST_CALLS or (time.perf_counter() < until and len(taken) < 2000):
        started = time.perf_counter()
        runtime.run(row)
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken) * 1000, 4)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_machine() -> dict[str, Any]:
    """Return what the speeds were measured on."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def has_integer_io(runtime: Runtime) -> bool:
    """Say whether a model takes quantised integers."""
    return any(spec.dtype in (DType.INT8, DType.UINT8) for spec in runtime.inputs)
