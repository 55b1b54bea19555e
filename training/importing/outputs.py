"""The outputs' shapes, found by running a model; and its answers to many rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.tensors import FREE, DType, TensorSpec
from training.runtimes import Runtime
from training.runtimes.base import reading

Array = np.ndarray[Any, Any]
Specs = tuple[TensorSpec, ...]

BATCH_ROWS = 256
_ROW_TOLERANCE = 1e-2  # of a row alone against the same row in a batch: kernels differ with the batch's size


def is_batchable(inputs: Specs) -> bool:
    """Say whether requests can be put together along the first dimension."""
    return all(spec.shape[:1] == (FREE,) for spec in inputs)


def first_rows(inputs: Specs, rows: Arrays, count: int) -> Arrays:
    """Return the first rows, as many as the model takes at once if that is fixed.

    Raises: InvalidInputError if there are too few.
    """
    chosen = {}
    for spec in inputs:
        wanted = count if spec.shape[0] == FREE else spec.shape[0]
        chosen[spec.name] = rows[spec.name][:wanted]
        if spec.shape[0] != FREE and len(chosen[spec.name]) < wanted:
            raise InvalidInputError(
                f"input '{spec.name}' takes {wanted} rows at once; the samples have {len(rows[spec.name])}"
            )
    return chosen


def predict_all(runtime: Runtime, inputs: Arrays, *, limit: int) -> Arrays:
    """Return the answers to all rows up to a limit; a rest smaller than a fixed batch is left out."""
    parts = [runtime.run(part) for part in _batches(runtime.inputs, inputs, limit)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batches(specs: Specs, inputs: Arrays, limit: int) -> Iterator[Arrays]:
    size = BATCH_ROWS if is_batchable(specs) else max(1, *(spec.shape[0] for spec in specs))
    rows = min(limit, len(next(iter(inputs.values()))))
    for start in range(0, rows, size):
        if is_batchable(specs) or start + size <= rows:
            yield {name: array[start : min(start + size, rows)] for name, array in inputs.items()}


def derive_outputs(runtime: Runtime, inputs: Arrays, outputs: Arrays) -> Specs:
    """Return the outputs' specs: what the model says, and for what it leaves open what its answers show.

    Raises: InvalidInputError if outputs are not as described, or rows cannot be batched.
    """
    told = {spec.name: spec for spec in runtime.outputs}
    others = _smaller(runtime, inputs)
    specs = []
    for name, array in outputs.items():
        said = told.get(name)
        spec = _spec(name, array, said, others.get(name, array))
        if said is not None and said.dtype is not spec.dtype:
            raise InvalidInputError(f"output '{name}' is {spec.dtype}; the signature says {said.dtype}")
        specs.append(spec)
    if is_batchable(runtime.inputs):
        specs = [_check_rows(spec, inputs, outputs[spec.name]) for spec in specs]
        _check_independence(runtime, inputs, outputs)
    return tuple(specs)


def _spec(name: str, array: Array, said: TensorSpec | None, other: Array) -> TensorSpec:
    told = said.shape if said is not None and len(said.shape) == array.ndim else (FREE,) * array.ndim
    if any(want not in (FREE, have) for want, have in zip(told[1:], array.shape[1:], strict=True)):
        raise InvalidInputError(f"output '{name}' has shape {list(array.shape)}; the signature says {list(told)}")
    varies = other.shape if other.ndim == array.ndim else array.shape
    is_said = said is not None and len(said.shape) == array.ndim
    shape = tuple(
        FREE if size != varied or (is_said and want == FREE) else size
        for size, varied, want in zip(array.shape, varies, told, strict=True)
    )
    return TensorSpec(name=name, dtype=DType.of(array.dtype), shape=shape)


def _smaller(runtime: Runtime, inputs: Arrays) -> Arrays:
    """Return the answers to one row with every other free size less by one, where the model takes that."""
    less = {}
    for spec in runtime.inputs:
        array = inputs[spec.name]
        cuts = [
            slice(None) if size != FREE else slice(0, 1) if axis == 0 else slice(0, max(1, array.shape[axis] - 1))
            for axis, size in enumerate(spec.shape)
        ]
        less[spec.name] = np.ascontiguousarray(array[tuple(cuts)])
    try:
        with reading("smaller rows"):
            return runtime.run(less)
    except PlatformError:
        return {}


def _check_rows(spec: TensorSpec, inputs: Arrays, output: Array) -> TensorSpec:
    rows = len(next(iter(inputs.values())))
    if output.ndim == 0 or len(output) != rows:
        raise InvalidInputError(
            f"output '{spec.name}' has shape {list(output.shape)} for {rows} rows; its first dimension "
            "must be the rows, "
            "so that requests can be batched (leave it out with --signature, or fix the batch in the model)"
        )
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=(FREE, *spec.shape[1:]))


def _check_independence(runtime: Runtime, inputs: Arrays, outputs: Arrays) -> None:
    with reading("the model fails on a single row, though its batch is free"):
        alone = runtime.run({name: array[:1] for name, array in inputs.items()})
    for name, array in outputs.items():
        if array.dtype.kind != "f":
            continue
        scale = max(1.0, float(np.abs(array).max(initial=0.0)))
        if (
            alone[name].shape[1:] != array.shape[1:]
            or np.abs(alone[name][0] - array[0]).max(initial=0.0) > _ROW_TOLERANCE * scale
        ):
            raise InvalidInputError(
                f"output '{name}' of a row depends on the other rows of its batch, so that requests cannot be batched "
                "(is the model in training mode? else fix the batch in the model)"
            )
