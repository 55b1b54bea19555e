"""What training, serving and monitoring call an embedding, its columns, and the sample of it in an artifact.

An embedding is a vector that a model computes beside its outputs, for monitoring alone (`Manifest.embedding`).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

EMBEDDING = "embedding"
DIMENSIONS, MAX_DIMENSIONS = 8, 64  # by default; at most
SAMPLE = "profile/embedding.npz"  # rows held out, beside the profile: what vectors are compared with as a whole
SAMPLE_ROWS = 1000

Array = np.ndarray[Any, Any]
_COLUMN = re.compile(re.escape(EMBEDDING) + r"\[\d+\]")


def embedding_columns(values: Array) -> dict[str, Array]:
    """Return each dimension as a column of shape (n,), by name; `values` has the shape (n, dimensions)."""
    return {embedding_column(i): values[:, i] for i in range(values.shape[1])}


def embedding_column(dimension: int) -> str:
    """Return the name of a dimension's column, counted from 0."""
    return f"{EMBEDDING}[{dimension}]"


def is_embedding_column(name: str) -> bool:
    """Say whether an output's column is a dimension of the embedding."""
    return _COLUMN.fullmatch(name) is not None
