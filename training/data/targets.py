"""A table's target: one of a few classes, or a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array, Target
from training.data.labels import MAX_CLASSES, encode_labels

AUTO, CLASSIFICATION, REGRESSION = "auto", "classification", "regression"
TASKS = (AUTO, CLASSIFICATION, REGRESSION)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A target as it is learned, shape (n,): int64 indices into `labels`, or float32 numbers without labels."""

    values: Array
    labels: tuple[str, ...]
    target: Target


def encode_target(values: Array, *, task: str, where: str) -> Truth:
    """Return a target's values for a task; `auto`: fractions, and more than 1000 whole numbers, are no classes.

    Raises: InvalidInputError if they cannot be what the task wants.
    """
    if task == REGRESSION or (task == AUTO and _are_amounts(values)):
        return Truth(values=_numbers(values, where=where), labels=(), target=Target.NUMBER)
    codes, labels = encode_labels({"target": values}, where=where)
    return Truth(values=codes["target"], labels=labels, target=Target.CLASSES)


def _are_amounts(values: Array) -> bool:
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        return False
    return bool((values != np.rint(values)).any()) or len(np.unique(values)) > MAX_CLASSES


def _numbers(values: Array, *, where: str) -> Array:
    if values.dtype.kind not in "fiu":
        raise InvalidInputError(f"{where}: a regression's target must be numbers, not texts such as '{values[0]}'")
    numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise InvalidInputError(f"{where}: a number to predict must be finite; row {row + 1} has {values[row]}")
    return numbers
