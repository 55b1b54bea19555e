"""What networks for tables share in every framework: parameters, and what they take from the training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from training.data.dataset import Array
from training.data.targets import AUTO, TASKS
from training.recipes.parameters import HUBER, MSE, FitParameters, parameter

BY_ROWS = -1.0
FEW_ROWS = 1000  # training rows up to which a table of mixed columns is learned by heart in a few epochs
_DROPOUT, _MORE_DROPOUT = 0.3, 0.2


@dataclass(frozen=True, kw_only=True)
class TabularParameters(FitParameters):
    """What can be chosen."""

    epochs: int = parameter(20, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    task: str = parameter(
        AUTO, choices=TASKS, help="Whether the target is a class or a number; auto: numbers with fractions are numbers."
    )
    loss: str = parameter(
        MSE, choices=(MSE, HUBER), help="Of a number: squared errors, or Huber's, which counts outliers less."
    )
    hidden_units: int = parameter(64, minimum=1, maximum=4096, help="Width of the first hidden layer.")
    dropout: float = parameter(
        BY_ROWS,
        minimum=BY_ROWS,
        maximum=0.9,
        help="Share of features left out while learning; -1 chooses 0.5 for up to 1000 training rows, to 0.3 for many.",
    )
    weight_decay: float = parameter(
        BY_ROWS,
        minimum=BY_ROWS,
        maximum=100.0,
        help="Times learning_rate: what a step takes off each weight; -1 chooses 1 for up to 1000 rows, to 0 for many.",
    )
    max_categories: int = parameter(
        256, minimum=2, maximum=10_000, help="Most frequent values kept of a category; others count as unknown."
    )

    def for_rows(self, rows: int) -> Self:
        """Return the same with what was left to the number of training rows: the fewer, the more is held back.

        A prior on the weights stays as it is while the data that speaks against it grows: so a row's share of it
        falls as 1 / rows.
        """
        few = min(1.0, FEW_ROWS / max(1, rows))
        dropout = _DROPOUT + _MORE_DROPOUT * few if self.dropout < 0 else self.dropout
        return replace(self, dropout=dropout, weight_decay=few if self.weight_decay < 0 else self.weight_decay)


def mean_and_deviation(values: Array) -> tuple[float, float]:
    """Return mean and standard deviation of the numbers that are there (not NaN); 0 and 1 if there are none."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return 0.0, 1.0
    return float(known.mean()), max(float(known.var()), 1e-12) ** 0.5


def most_frequent(values: Array, most: int) -> list[str]:
    """Return the values of a category in the order of the alphabet, at most so many; missing ("") is a value."""
    counts = Counter(values.ravel().tolist())
    return sorted(value for value, _ in counts.most_common(most))
