"""Splits rows by seed, each class in the same proportions, so that a run can be repeated."""

from __future__ import annotations

import numpy as np

from training.data.dataset import Array

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1


def split_rows(labels: Array, *, share: float, seed: int) -> tuple[Array, Array]:
    """Return sorted row indices (kept, held out); about `share` of each class is held out.

    Shapes: labels (n,), classes (whole numbers) or amounts (fractions), of which tenths are held out alike. A class
    of one row is kept whole. The same labels, share and seed give the same rows.
    """
    if labels.ndim > 1:
        labels = np.zeros(len(labels), dtype=np.int64)  # of boxes: any image may be held out
    elif labels.dtype.kind == "f":
        labels = np.searchsorted(np.quantile(labels, np.arange(0.1, 1.0, 0.1)), labels)
    random = np.random.default_rng([seed, len(labels)])
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]  # classes together, random within
    _, sizes = np.unique(labels, return_counts=True)
    rank = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else np.zeros(0, int)
    quota = np.repeat(np.rint(sizes * share).astype(int), sizes)
    held_out = rank < quota
    return np.sort(by_class[~held_out]), np.sort(by_class[held_out])
