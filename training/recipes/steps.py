"""How one step is computed: the choices that every framework's learner understands."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from training.data.dataset import Array, DataDescription
from training.recipes.parameters import BALANCED, BFLOAT16, FitParameters


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """`clip_norm` 0: gradients as they are. `class_weights`: shape (classes,), float32; None: all alike.

    `pieces`: the rows of a step are computed in so many parts one after another, for the same result in less memory.
    """

    clip_norm: float = 0.0
    pieces: int = 1
    is_mixed: bool = False
    class_weights: Array | None = None

    @classmethod
    def of(cls, parameters: FitParameters, data: DataDescription) -> StepOptions:
        """Return what the parameters of a run say, for its data."""
        weights = None
        if parameters.class_weights == BALANCED:
            weights = balanced_weights(data.train.labels, len(data.labels))
        return cls(
            clip_norm=parameters.clip_norm,
            pieces=parameters.pieces,
            is_mixed=parameters.precision == BFLOAT16,
            class_weights=weights,
        )

    def cut(self, rows: int) -> list[slice]:
        """Return the parts of a step of so many rows; none is empty, unless the step is."""
        pieces = max(1, min(self.pieces, rows))
        bounds = [rows * i // pieces for i in range(pieces + 1)]
        return [slice(start, stop) for start, stop in pairwise(bounds)]


def balanced_weights(labels: Array, classes: int) -> Array:
    """Return a weight for each class, shape (classes,), so that all classes together count alike.

    n / (classes * n_c), as scikit-learn's 'balanced'; 0 for a class without a row.
    Source: King and Zeng, Logistic Regression in Rare Events Data (2001).
    """
    counts: Any = np.bincount(labels, minlength=classes)
    with np.errstate(divide="ignore"):
        weights = np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)
    return weights.astype(np.float32)
