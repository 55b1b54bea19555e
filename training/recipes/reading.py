"""Reads the rows of a step, and finds the row if one cannot be read; puts the answers for many batches together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import PlatformError
from training.data.dataset import Array, Part
from training.recipes.api import TrainingFailedError


def read_rows(part: Part, indices: Array, *, epoch: int, step: int) -> tuple[Arrays, Array]:
    """Return inputs and labels of the training rows of those places.

    Raises: TrainingFailedError naming the first row that cannot be read, by its place (from 0) among the
    training rows; MemoryError and PlatformError as they are.
    """
    try:
        return part.rows(indices)
    except (MemoryError, PlatformError):
        raise
    except Exception as error:
        raise TrainingFailedError(_sentence(part, indices, error, epoch=epoch, step=step)) from error


def join_answers(answers: Iterable[Array], rows: int) -> Array:
    """Return the answers of one batch after the other, shape (rows, ...), written to their places as they come.

    A list of them would keep a small array alive between each two large batches, whose memory could then not be used
    again for a larger one: a test of two million rows took gigabytes so.
    """
    joined, done = None, 0
    for answer in answers:
        if joined is None:
            joined = np.empty((rows, *answer.shape[1:]), answer.dtype)
        joined[done : done + len(answer)] = answer
        done += len(answer)
    if joined is None or done != rows:
        raise ValueError(f"there are answers for {done} rows of {rows}")
    return joined


def _sentence(part: Part, indices: Array, error: Exception, *, epoch: int, step: int) -> str:
    when = f"at epoch {epoch}, step {step}"
    for index in indices:
        try:
            part.rows(np.asarray([index]))
        except Exception as own:  # noqa: BLE001  (a source raises what its reader raises)
            return f"training row {index} cannot be read {when}: {type(own).__name__}: {own}"
    return f"training rows {indices[0]} and others cannot be read together {when}: {type(error).__name__}: {error}"
