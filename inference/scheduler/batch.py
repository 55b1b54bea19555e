"""Puts parts together into one engine call and takes the outputs apart again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiplatform.errors import PlatformError
from aiplatform.tensors import FREE, Signature
from inference.engines.base import Engine
from inference.recording_api import CallRows
from inference.scheduler.job import Arrays, Part, Results


def is_batchable(signature: Signature) -> bool:
    """Say whether rows of different requests may share a call: every tensor has a free first dimension."""
    return all(spec.shape[:1] == (FREE,) for spec in (*signature.inputs, *signature.outputs))


def run_batch(engine: Engine, parts: Sequence[Part]) -> Results:
    """Run parts of one shape together and return the jobs that are complete now.

    A batch that fails is run again part by part, so that one request cannot fail another.
    """
    try:
        inputs = _joined([part.inputs() for part in parts])
        outputs = engine.run(inputs)
        pieces = _split(outputs, parts)
        if len(parts) > 1:
            _tell_of_call(parts, CallRows(inputs, outputs))
        return _complete(parts, pieces)
    except Exception as error:  # noqa: BLE001 an engine may raise anything
        if len(parts) == 1:
            return [(parts[0].job, _as_platform_error(error))]
    return [result for part in parts for result in run_batch(engine, [part])]


def _tell_of_call(parts: Sequence[Part], call: CallRows) -> None:
    """Say where in the call the rows of each job stand that is whole in it; whoever records takes them from there."""
    start = 0
    for part in parts:
        if part.rows == part.job.rows:
            part.job.call, part.job.first_row = call, start
        start += part.rows


def _joined(pieces: list[Arrays]) -> Arrays:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _split(outputs: Arrays, parts: Sequence[Part]) -> list[Arrays]:
    if len(parts) == 1 and parts[0].job.parts_left == 1 and parts[0].rows == parts[0].job.rows:
        return [outputs]
    rows = sum(part.rows for part in parts)
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            raise PlatformError(f"the engine answered {rows} rows with output '{name}' of shape {list(array.shape)}")
    pieces, start = [], 0
    for part in parts:
        pieces.append({name: array[start : start + part.rows] for name, array in outputs.items()})
        start += part.rows
    return pieces


def _complete(parts: Sequence[Part], pieces: Sequence[Arrays]) -> Results:
    results: Results = []
    for part, piece in zip(parts, pieces, strict=True):
        job = part.job
        job.outputs[part.index] = piece
        job.parts_left -= 1
        if job.parts_left == 0:
            results.append((job, _joined([output for output in job.outputs if output is not None])))
    return results


def _as_platform_error(error: Exception) -> PlatformError:
    if isinstance(error, PlatformError):
        return error
    first_line = (str(error).splitlines() or [""])[0]
    failure = PlatformError(f"the engine failed: {type(error).__name__}: {first_line[:300]}")
    failure.__cause__ = error
    return failure
