"""Class names, and labels as indices into them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array

MAX_CLASSES = 1000


def encode_labels(labels: Mapping[str, Array], *, where: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return each part's labels as indices (n,) int64, and the class names in their order.

    Whole numbers are ordered as numbers, all else as text.
    Raises: InvalidInputError if they are not one class a row, or there are not 2 to 1000 classes.
    """
    flat = {name: _flatten(array, where=f"{where}, {name}") for name, array in labels.items()}
    together = np.concatenate(list(flat.values()))
    classes, codes = np.unique(together, return_inverse=True)
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise InvalidInputError(f"{where}: there must be 2 to {MAX_CLASSES} classes, not {len(classes)}")
    ends = np.cumsum([len(array) for array in flat.values()])[:-1]
    parts = np.split(codes.astype(np.int64), ends)
    return dict(zip(flat, parts, strict=True)), tuple(str(name) for name in classes.tolist())


def _flatten(labels: Array, *, where: str) -> Array:
    column = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if column.ndim != 1:
        raise InvalidInputError(f"{where}: labels must be one class a row, shape (n,), not {labels.shape}")
    if column.dtype.kind in "uib":
        return column.astype(np.int64)
    if column.dtype.kind in "SUT":
        return column.astype(str)
    if column.dtype.kind == "f" and bool(np.all(column == np.rint(column))):
        return column.astype(np.int64)
    raise InvalidInputError(f"{where}: labels must be whole numbers or texts, not {column.dtype}")
