"""V2's classification extension: an output's best classes as `value:index[:label]`, best first.

Source: triton-inference-server/server, docs/protocol/extension_classification.md. The document leaves
open how a value is written: here with six digits after the point, integers as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiplatform.errors import InvalidInputError
from inference.protocols.messages import Array


def classify_output(name: str, array: Array, count: int, labels: Sequence[str]) -> Array:
    """Return BYTES of shape (n, k): the k best of each row, k at most `count` and the classes there are.

    Equal values keep the order of their indices; NaN comes last. Labels are given if there is one
    for each class. Raises: InvalidInputError if the output has no numbers or no rows.
    """
    if array.dtype.kind in "OUSTb" or array.ndim == 0:
        raise InvalidInputError(f"output '{name}' cannot be classified: it is not rows of numbers")
    scores = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(-1, 1)
    if scores.dtype.kind not in "iuf":  # bfloat16
        scores = scores.astype(np.float32)
    best = _best_first(scores)[:, :count]
    names = list(labels) if len(labels) == scores.shape[1] else []
    out = np.empty(best.shape, dtype=object)
    for row, indices in enumerate(best.tolist()):
        for place, index in enumerate(indices):
            out[row, place] = _text(scores[row, index], index, names).encode()
    return out


def _best_first(scores: Array) -> Array:
    """Return indices by falling value. Shapes: (n, classes) to (n, classes)."""
    if scores.dtype.kind == "f":
        return np.argsort(-scores, axis=1, kind="stable")
    rising = np.argsort(scores[:, ::-1], axis=1, kind="stable")  # integers: the least has no negative
    best: Array = scores.shape[1] - 1 - rising[:, ::-1]
    return best


def _text(value: np.generic, index: int, names: list[str]) -> str:
    number = f"{float(value):f}" if value.dtype.kind == "f" else str(value.item())
    return f"{number}:{index}:{names[index]}" if names else f"{number}:{index}"
