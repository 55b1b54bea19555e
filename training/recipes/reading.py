"""Reads the rows of a step, and finds the row if one of them cannot be read."""

from __future__ import annotations

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


def _sentence(part: Part, indices: Array, error: Exception, *, epoch: int, step: int) -> str:
    when = f"at epoch {epoch}, step {step}"
    for index in indices:
        try:
            part.rows(np.asarray([index]))
        except Exception as own:  # noqa: BLE001  (a source raises what its reader raises)
            return f"training row {index} cannot be read {when}: {type(own).__name__}: {own}"
    return f"training rows {indices[0]} and others cannot be read together {when}: {type(error).__name__}: {error}"
